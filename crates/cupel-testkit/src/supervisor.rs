use std::ffi::OsString;
use std::fs;
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::chown;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use nix::unistd::User;

use crate::Error;
use crate::lifeline::Lifeline;

/// What the supervisor runs; the pipe that keeps a server alive is explained there.
const SCRIPT: &str = include_str!("supervisor.sh");

/// How long a server may take to end before it is killed, in tenths of a second.
const PATIENCE: &str = "50";

/// How many lines of a server's log an error quotes.
const LOG_LINES: usize = 12;

/// An empty folder for one server, which its supervisor will remove.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    owner: Option<User>,
    kept: bool,
}

impl Folder {
    /// Makes a folder that belongs to this process.
    pub(crate) fn create() -> Result<Self, Error> {
        let path = tempfile::Builder::new()
            .prefix("cupel-testkit-")
            .tempdir()
            .map_err(Error::machine("make a temporary folder"))?
            .keep();
        Ok(Self { path, owner: None, kept: false })
    }

    /// Gives the folder, and the server that will run in it, to a user of this machine.
    pub(crate) fn owned_by(mut self, owner: User) -> Result<Self, Error> {
        chown(&self.path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))
            .map_err(Error::machine("give a temporary folder to the server's user"))?;
        self.owner = Some(owner);
        Ok(self)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a file into the folder that only its owner reads.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        let write = || -> io::Result<()> {
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(text.as_bytes())?;
            if let Some(owner) = &self.owner {
                chown(&path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;
            }
            Ok(())
        };
        write().map_err(Error::machine("write a file into a temporary folder"))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing is left to tell, and nobody to tell it to.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// A process that ends when this value is dropped, or when our own process ends in any way.
#[derive(Debug)]
pub(crate) struct Supervised {
    lifeline: Lifeline,
    folder: PathBuf,
}

impl Supervised {
    /// Starts `command` in `folder`; `signal` (`TERM`, `QUIT`) is what asks it to end.
    pub(crate) fn spawn(
        mut folder: Folder,
        signal: &str,
        command: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, Error> {
        let mut supervisor = Command::new("sh");
        supervisor
            .args(["-c", SCRIPT, "supervisor"])
            .arg(&folder.path)
            .args([signal, PATIENCE])
            .current_dir(&folder.path);
        if let Some(owner) = &folder.owner {
            // The server alone: its supervisor has to remove the folder from ours in the end.
            supervisor
                .args(["setpriv", "--init-groups"])
                .arg(format!("--reuid={}", owner.uid))
                .arg(format!("--regid={}", owner.gid))
                .env("HOME", &folder.path);
        }
        supervisor.args(command);
        let lifeline = Lifeline::tie(&mut supervisor)?;
        folder.kept = true;
        Ok(Self { lifeline, folder: folder.path.clone() })
    }

    /// Returns whether the server ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        self.folder.join("exit").exists()
    }

    /// Returns the last lines of the server's log.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read(self.folder.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        match lines.get(lines.len().saturating_sub(LOG_LINES)..) {
            None | Some([]) => "(empty)".to_owned(),
            Some(last) => last.join(" | "),
        }
    }

    /// Ends the server and waits until it and its folder are gone.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        self.lifeline.cut().await
    }
}
