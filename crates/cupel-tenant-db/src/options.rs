use std::time::Duration;

/// How a transaction of a scope runs. What is not said is as the role's settings have it.
///
/// All of it travels in the message that opens the transaction, so none of it costs a round trip.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use cupel_tenant_db::{IsolationLevel, TxOptions};
///
/// let report = TxOptions::new()
///     .read_only()
///     .isolation(IsolationLevel::RepeatableRead)
///     .statement_timeout(Duration::from_secs(5));
/// # let _ = report;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "options do nothing until a transaction is opened with them"]
pub struct TxOptions {
    read_only: bool,
    isolation: Option<IsolationLevel>,
    statement_timeout: Option<Duration>,
}

/// The isolation level of a transaction: PostgreSQL documentation, section 13.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IsolationLevel {
    /// Each statement sees what was committed before it began. The server's default.
    ReadCommitted,
    /// Every statement sees what was committed before the first one began.
    RepeatableRead,
    /// As if transactions ran one after the other; one that cannot is refused and may be run again.
    Serializable,
}

impl IsolationLevel {
    fn as_sql(self) -> &'static str {
        match self {
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }
}

impl TxOptions {
    /// As the role's settings have it.
    pub fn new() -> Self {
        Self::default()
    }

    /// The server refuses every write.
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// The isolation level.
    pub fn isolation(self, level: IsolationLevel) -> Self {
        Self { isolation: Some(level), ..self }
    }

    /// The server ends a statement that runs for longer; in whole milliseconds, at least one.
    pub fn statement_timeout(self, timeout: Duration) -> Self {
        Self { statement_timeout: Some(timeout), ..self }
    }

    /// The statements that begin such a transaction, each with its semicolon.
    pub(crate) fn begin(self) -> String {
        let mut sql = "BEGIN".to_owned();
        if let Some(level) = self.isolation {
            sql += " ISOLATION LEVEL ";
            sql += level.as_sql();
        }
        if self.read_only {
            sql += " READ ONLY";
        }
        sql += "; ";
        if let Some(timeout) = self.statement_timeout {
            // The setting is an int, in milliseconds; 0 would mean none.
            let millis = timeout.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
            sql += &format!("SET LOCAL statement_timeout = {millis}; ");
        }
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_left_to_the_server() {
        assert_eq!(TxOptions::new().begin(), "BEGIN; ");
        let all = TxOptions::new()
            .read_only()
            .isolation(IsolationLevel::Serializable)
            .statement_timeout(Duration::from_secs(2));
        assert_eq!(
            all.begin(),
            "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY; SET LOCAL statement_timeout = 2000; "
        );
        let none = TxOptions::new().statement_timeout(Duration::ZERO);
        assert_eq!(none.begin(), "BEGIN; SET LOCAL statement_timeout = 1; ");
    }
}
