#!/usr/bin/env bash
# Installs what `cargo xtask setup` and other commands need, on Debian or Ubuntu.
# $1: the directory for files that are not installed in the system. The other arguments: names of
# packages, and `mariadb`, `mysql`, `postgres`, `postgres18` and `pgbouncer`.
set -euo pipefail
cache=$(mkdir -p "$1" && cd "$1" && pwd)
shift

# apt asks no questions, and gets the variables for proxies, which sudo drops.
as_root() {
    local sudo=(sudo -n)
    [ "$(id -u)" != 0 ] || sudo=()
    # shellcheck disable=SC2046 # No proxy has a space in its address.
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        $(env | grep -E '^(http|https|no)_proxy=') "$@" </dev/null
}

# Recommended packages would start services. A package that conflicts must not be removed.
apt_install() {
    as_root apt-get install --yes --no-install-recommends --no-remove "$@"
}

# The server's programs, and the plugin metadata_lock_info. The package that has the plugin would
# run a service from the next boot on, so the plugin alone is taken out of it.
install_mariadb() {
    local partial=$cache/mariadb.partial version
    # A server loads only plugins of its own version: that of the package to download.
    apt_install mariadb-server-core mariadb-client-core
    version=$(PATH=$PATH:/usr/sbin mariadbd --no-defaults --version | grep -oP ' Ver \K\S+')
    rm -rf "$partial" && mkdir "$partial"
    (cd "$partial" && apt-get download mariadb-server)
    dpkg-deb --fsys-tarfile "$partial"/*.deb |
        tar -xO ./usr/lib/mysql/plugin/metadata_lock_info.so >"$partial/metadata_lock_info.so"
    rm "$partial"/*.deb
    rm -rf "$cache/mariadb-$version-plugins"
    mv "$partial" "$cache/mariadb-$version-plugins"
}

# The server's programs. The package would create a server's data and start it, which the setting
# prevents. Someone's own settings stay as they are.
install_postgres() {
    local settings=/etc/postgresql-common/createcluster.conf
    # shellcheck disable=SC2016 # The inner shell expands the variable.
    [ -e "$settings" ] || as_root sh -c \
        'mkdir -p "${0%/*}" && echo "create_main_cluster = false" >"$0"' "$settings"
    apt_install postgresql
}

# Unpacks Debian's package $2 of sid, with all packages that it needs, to the directory $1. An apt
# with private directories, in which no package is installed, finds and verifies these packages.
unpack_from_sid() {
    local tree=$cache/$1 partial=$cache/$1.partial
    local mirror apt keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -e "$keyring" ] || apt_install debian-archive-keyring
    # The machine's own mirror, which may be the only one that it reaches. Ubuntu has none.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
        'Origin: Debian' 'Label: Debian' 'Component: main' | head -n 1)
    rm -rf "$partial" && mkdir -p "$partial"/{lists,archives}/partial "$partial/tree"
    touch "$partial/status"
    echo "deb [signed-by=$keyring] ${mirror:-http://deb.debian.org/debian} sid main" \
        >"$partial/sources.list"
    apt=(apt-get --yes --no-install-recommends
        -o Dir::Etc::SourceList="$partial/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
        -o Dir::State="$partial" -o Dir::State::Status="$partial/status"
        -o Dir::Cache="$partial" -o APT::Sandbox::User=root
        # A mirror may be weeks old.
        -o Acquire::Check-Valid-Until=false)
    "${apt[@]}" update
    "${apt[@]}" install --download-only "$2"
    for package in "$partial"/archives/*.deb; do
        dpkg-deb --extract "$package" "$partial/tree"
    done
    # It is renamed when complete.
    rm -rf "$tree"
    mv "$partial/tree" "$tree"
    rm -rf "$partial"
}

as_root apt-get update
packages=()
for need in "$@"; do
    case $need in
    mariadb | mysql | postgres | postgres18 | pgbouncer) ;;
    *) packages+=("$need") ;;
    esac
done
[ ${#packages[@]} = 0 ] || apt_install "${packages[@]}"
case " $* " in *" mariadb "*) install_mariadb ;; esac
case " $* " in *" postgres "*) install_postgres ;; esac
# Debian has MySQL, and the newest PostgreSQL, only in sid.
case " $* " in *" mysql "*) unpack_from_sid mysql-sid mysql-server-core ;; esac
case " $* " in *" postgres18 "*) unpack_from_sid postgres-sid postgresql-18 ;; esac
# Installing this package would start a service.
case " $* " in *" pgbouncer "*) unpack_from_sid pgbouncer-sid pgbouncer ;; esac
