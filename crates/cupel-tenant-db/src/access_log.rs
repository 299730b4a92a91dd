use crate::{Error, TenantDb};

/// How the chain of the access log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessLog {
    /// How many rows there are.
    pub rows: u64,
    /// The digest of the last row, in hexadecimal; `None` of an empty log. Kept elsewhere, it later shows
    /// that no row was taken off the end.
    pub head: Option<String>,
    /// The first row, by its id, whose digest is not that of what it says, or that does not follow the row
    /// before it; `None` where the chain is whole.
    pub broken: Option<i64>,
    /// Whether the head that was asked for is the digest of a row; `None` if none was.
    pub holds_head: Option<bool>,
}

impl AccessLog {
    /// Returns whether nothing was changed, as far as the log and the head that was kept can tell.
    pub fn is_whole(&self) -> bool {
        self.broken.is_none() && self.holds_head != Some(false)
    }
}

impl TenantDb {
    /// Reads the access log from its first row to its last, and checks the digest of each. Give it the head
    /// of an earlier check, in hexadecimal, to have it looked for.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdmin`], or [`Error::Statement`] if the log cannot be read.
    pub async fn verify_access_log(&self, head: Option<&str>) -> Result<AccessLog, Error> {
        let mut session = self.admin_pool()?.lend_tested().await?;
        let (rows, last, broken, holds): (i64, Option<String>, Option<i64>, Option<bool>) =
            sqlx::query_as(
                "SELECT count(*), (array_agg(encode(digest, 'hex') ORDER BY id DESC))[1],
                   min(id) FILTER (WHERE NOT whole), bool_or(encode(digest, 'hex') = lower($1))
                 FROM (SELECT l.id, l.digest,
                     l.digest = cupel.access_digest(l)
                       AND l.previous IS NOT DISTINCT FROM lag(l.digest) OVER (ORDER BY l.id) AS whole
                   FROM cupel.access_log l) chain",
            )
            .bind(head)
            .fetch_one(session.connection())
            .await
            .map_err(Error::statement("reading the access log"))?;
        session.give_back();
        let holds_head = head.map(|_| holds.unwrap_or(false));
        Ok(AccessLog { rows: rows.unsigned_abs(), head: last, broken, holds_head })
    }
}
