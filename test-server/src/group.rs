//! A replication group of MySQL servers that write on all members.

use crate::error::StartError;
use crate::kind::ServerKind;
use crate::port::Port;
use crate::server::Server;

/// Two servers of one group. They end, and their directories are removed, as for a [`Server`].
///
/// The first has begun the group. The second joins it when a client executes
/// `START GROUP_REPLICATION USER = 'root'`.
pub struct Group {
    members: [Server; 2],
    /// For messages within the group, one port for each server.
    _ports: [Port; 2],
}

impl Group {
    /// Starts the servers.
    ///
    /// # Errors
    ///
    /// If MySQL is not installed, or a server does not start.
    pub fn start() -> Result<Self, StartError> {
        let port = || Port::reserve().map_err(StartError::doing("find a free port"));
        let ports = [port()?, port()?];
        let [one, two] = ports.each_ref().map(Port::number);
        let member = |id: u8, listen: u16, begins: &str| {
            let own = format!("--loose-group-replication-local-address=127.0.0.1:{listen}");
            let seeds =
                format!("--loose-group-replication-group-seeds=127.0.0.1:{one},127.0.0.1:{two}");
            Server::start_with(
                ServerKind::Mysql,
                &[
                    &format!("--server-id={id}"),
                    "--log-bin",
                    "--gtid-mode=ON",
                    "--enforce-gtid-consistency=ON",
                    "--report-host=127.0.0.1",
                    "--plugin-load-add=group_replication.so",
                    "--loose-group-replication-group-name=6f7a6f5e-0f43-4d0a-8d6c-3f4a4c1b2d11",
                    "--loose-group-replication-single-primary-mode=OFF",
                    "--loose-group-replication-enforce-update-everywhere-checks=ON",
                    "--loose-group-replication-communication-stack=XCOM",
                    "--loose-group-replication-recovery-get-public-key=ON",
                    &format!("--loose-group-replication-start-on-boot={begins}"),
                    &format!("--loose-group-replication-bootstrap-group={begins}"),
                    &own,
                    &seeds,
                ],
            )
        };
        Ok(Group {
            members: [member(1, one, "ON")?, member(2, two, "OFF")?],
            _ports: ports,
        })
    }

    pub fn members(&self) -> &[Server; 2] {
        &self.members
    }
}
