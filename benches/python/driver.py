"""The client library: the one in C, or the one in Python where that could not be built."""

try:
    import MySQLdb  # noqa: F401

    NAME = "mysqlclient"
    DIALECT = "mysql+mysqldb"
except ImportError:
    import pymysql

    # Django asks for a version of the one whose place it takes.
    pymysql.version_info = (2, 2, 1, "final", 0)
    pymysql.install_as_MySQLdb()
    NAME = "PyMySQL"
    DIALECT = "mysql+pymysql"
