//! `service`: a unit for systemd.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{CliError, ConfigArgument, Out, Outcome, environment};
use crate::config::Config;

/// Everything of the machine that the daemon does without.
const HARDENING: &str = "NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
";

/// Print a unit for systemd that runs this program with this configuration.
///
/// Put it into /etc/systemd/system/cosell-sync.service.
#[derive(Debug, Args)]
pub(super) struct Service {
    #[command(flatten)]
    config: ConfigArgument,
    /// The user that the daemon runs as
    #[arg(long, value_name = "NAME", default_value = "cosell-sync")]
    user: String,
    /// One more folder that the daemon may write to, for backups; may be repeated
    #[arg(long, value_name = "DIR")]
    writable: Vec<PathBuf>,
}

impl Service {
    /// Prints it; nothing is installed.
    pub(super) fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let config = self.config.load()?;
        let file = std::path::absolute(&self.config.config)?;
        let program = std::env::current_exe()?;
        let writable = writable(&config, &self)?;
        let unit = unit(&config, &program, &file, &self, &writable)?;
        out.write_all(unit.as_bytes())?;
        let overriding = environment()?.into_iter().map(|(name, _)| name).collect();
        for warning in warnings(&writable, &overriding, &self.user) {
            writeln!(std::io::stderr(), "{warning}")?;
        }
        Ok(Outcome::Fine)
    }
}

/// The part of a path below the folder in which systemd makes folders for services.
fn below_state(path: &Path) -> Option<&Path> {
    path.strip_prefix("/var/lib").ok().filter(|rest| rest.components().count() > 0)
}

/// Where the daemon may write, but for a store that systemd makes.
fn writable(config: &Config, asked: &Service) -> Result<BTreeSet<PathBuf>, CliError> {
    let mut writable =
        asked.writable.iter().map(std::path::absolute).collect::<Result<BTreeSet<_>, _>>()?;
    // `mapping rollback` puts files back.
    for account in config.accounts.values() {
        writable.insert(std::path::absolute(config.path(&account.sync.mappings))?);
    }
    let store = std::path::absolute(config.path(&config.store.path))?;
    if below_state(&store).is_none() {
        writable.insert(store);
    }
    Ok(writable)
}

/// What keeps the unit from working as this command does here. A path that may be missing (`-` before
/// it) would be read-only once it is made, so it is told instead.
fn warnings(
    writable: &BTreeSet<PathBuf>,
    overriding: &BTreeSet<String>,
    user: &str,
) -> Vec<String> {
    let missing = writable.iter().filter(|path| !path.is_dir()).map(|path| {
        format!(
            "warning: {} is not a folder; systemd does not start the unit without it (226/NAMESPACE). \
             Make it: install -d -o {user} -m 0700 {}",
            path.display(),
            quoted(path),
        )
    });
    let lost = overriding.iter().map(|name| {
        format!(
            "warning: {name} is set here and counted in this unit, which does not set it. Put its value \
             into the configuration, or into an EnvironmentFile= of the unit."
        )
    });
    missing.chain(lost).collect()
}

fn unit(
    config: &Config,
    program: &Path,
    file: &Path,
    asked: &Service,
    writable: &BTreeSet<PathBuf>,
) -> Result<String, CliError> {
    let store = std::path::absolute(config.path(&config.store.path))?;
    let state = match below_state(&store) {
        Some(folder) => format!("StateDirectory={}\nStateDirectoryMode=0700\n", quoted(folder)),
        None => String::new(),
    };
    let paths: Vec<String> = writable.iter().map(|path| quoted(path)).collect();
    // A home that is hidden could not be read.
    let at_home = |path: &Path| path.starts_with("/home") || path.starts_with("/root");
    let homely = at_home(file) || at_home(program) || writable.iter().any(|path| at_home(path));
    let home = if homely { "ProtectHome=no" } else { "ProtectHome=yes" };
    let low = config.server.listen.port() < 1024 || config.admin.listen.port() < 1024;
    let bound = if low {
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n"
    } else {
        "CapabilityBoundingSet=\n"
    };
    Ok(format!(
        "# Made by `cosell-sync service`; make it again when a path of the configuration changes.\n\
         [Unit]\nDescription=Keeps co-sell referrals in step\nAfter=network-online.target\n\
         Wants=network-online.target\n\
         # A fault that lasts, such as a full disk, ends one day.\nStartLimitIntervalSec=0\n\n\
         [Service]\nUser={user}\nExecStart={program} run --config {file} --log-json\n\
         Restart=always\nRestartSec=2\n\
         # A configuration that is wrong stays wrong.\nRestartPreventExitStatus=2\n\
         TimeoutStopSec={stop}\nUMask=0077\n{state}ReadWritePaths={paths}\n{home}\n{HARDENING}{bound}\n\
         [Install]\nWantedBy=multi-user.target\n",
        user = asked.user,
        program = quoted(program),
        file = quoted(file),
        stop = config.server.stop_secs + 20,
        paths = paths.join(" "),
    ))
}

/// A path as one word of a unit.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    if text.contains([' ', '\t', '\\', '"', '\'']) { format!("\"{text}\"") } else { text }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::quoted;

    #[test]
    fn a_path_stays_one_word() {
        let table = [
            ("/etc/cosell-sync/config.toml", "/etc/cosell-sync/config.toml", "plain"),
            ("/srv/co sell/a.toml", "\"/srv/co sell/a.toml\"", "a space"),
            ("/srv/100%/a", "/srv/100%%/a", "a specifier"),
            ("/srv/\"x\"", "\"/srv/\\\"x\\\"\"", "quotation marks"),
        ];
        for (path, expected, why) in table {
            assert_eq!(quoted(Path::new(path)), expected, "{why}");
        }
    }
}
