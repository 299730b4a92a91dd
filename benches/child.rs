//! A process that does work when it is told to, and says what it did.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};

use crate::BoxError;

/// A child that reads a task from each line and answers it with a line of JSON.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    tasks: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts the child and waits until it says `ready`. It ends with this value.
    ///
    /// # Errors
    ///
    /// If the program cannot be started, or says something else.
    pub async fn start(mut command: Command) -> Result<Self, BoxError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process =
            command.spawn().map_err(|error| format!("{:?}: {error}", command.as_std()))?;
        let tasks = process.stdin.take().ok_or("no standard input")?;
        let answers = process.stdout.take().ok_or("no standard output")?;
        let mut child = Self { process, tasks, answers: BufReader::new(answers).lines() };
        match child.line().await?.as_str() {
            "ready" => Ok(child),
            other => Err(format!("{:?} said {other:?}", command.as_std()).into()),
        }
    }

    /// Gives a task and waits for what comes of it.
    ///
    /// # Errors
    ///
    /// If the child has ended, or answers no JSON.
    pub async fn ask(&mut self, task: &str) -> Result<Value, BoxError> {
        self.tasks.write_all(format!("{task}\n").as_bytes()).await?;
        Ok(serde_json::from_str(&self.line().await?)?)
    }

    /// Lets the child end, and waits for that.
    ///
    /// # Errors
    ///
    /// If it ends with a failure.
    pub async fn end(self) -> Result<(), BoxError> {
        let Self { mut process, tasks, answers } = self;
        drop((tasks, answers));
        let status = process.wait().await?;
        if status.success() { Ok(()) } else { Err(format!("a child ended with {status}").into()) }
    }

    /// Returns the process id; none once it has ended.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    async fn line(&mut self) -> Result<String, BoxError> {
        Ok(self.answers.next_line().await?.ok_or("a child has ended")?)
    }
}
