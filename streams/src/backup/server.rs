//! The database as a server of its own: exported and imported over HTTP, because the socket that Maru
//! otherwise speaks to it has no words for either.
//!
//! The server answers an export with 200 before it has read anything and only logs what goes wrong then, so
//! the last row has to be looked for. An import that was not whole is answered with 422.

use std::path::Path;

use futures_util::{StreamExt, stream};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::BackupError;
use super::database::ending;
use super::files::{PIECE, Recorder};
use crate::store::Credentials;

const NAMESPACE: &str = "DEFINE NAMESPACE IF NOT EXISTS maru; USE NS maru; DEFINE DATABASE IF NOT EXISTS maru;";
const READING: &str = "read the database";
const WRITING: &str = "restore the database";

/// A database server.
pub struct DatabaseServer {
    http: Client,
    base: String,
    credentials: Option<Credentials>,
}

impl DatabaseServer {
    /// The one that Maru reaches at this URL: `ws://host:8000`.
    ///
    /// # Errors
    /// When the URL is not one of a server.
    pub fn new(url: &str, credentials: Option<Credentials>) -> Result<Self, BackupError> {
        let failed = |why: &dyn std::fmt::Display| BackupError::database("reach the database", why);
        let base = match url.trim_end_matches('/').trim_end_matches("/rpc").split_once("://") {
            Some(("ws" | "http", host)) => format!("http://{host}"),
            Some(("wss" | "https", host)) => format!("https://{host}"),
            _ => {
                return Err(failed(
                    &"a database server has an address that begins with ws:// or wss://",
                ));
            }
        };
        Ok(Self {
            http: Client::builder().build().map_err(|error| failed(&error))?,
            base,
            credentials,
        })
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.to(self.http.post(format!("{}{path}", self.base)))
            .header("accept", "application/json")
    }

    fn to(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.header("surreal-ns", "maru").header("surreal-db", "maru");
        match &self.credentials {
            Some(Credentials { user, password }) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }

    /// Runs statements, and gives what the last one came to.
    async fn query(&self, doing: &'static str, text: String) -> Result<Value, BackupError> {
        let answer = send(doing, self.post("/sql").body(text)).await?;
        let rows: Vec<Value> = answer
            .json()
            .await
            .map_err(|error| BackupError::database(doing, &error))?;
        if let Some(bad) = rows.iter().find(|row| row["status"] != "OK") {
            return Err(BackupError::database(doing, &bad["result"]));
        }
        Ok(rows.last().map(|row| row["result"].clone()).unwrap_or_default())
    }

    pub(super) async fn export(&self, name: &str, file: &mut Recorder<'_>) -> Result<(), BackupError> {
        self.query(READING, ending(name)).await?;
        let answer = send(READING, self.to(self.http.get(format!("{}/export", self.base)))).await?;
        let mut pieces = answer.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| BackupError::database(READING, &error))?;
            file.write(&piece).await?;
        }
        Ok(())
    }

    /// Makes sure that there is nothing in it. Tables are no matter, nor what it is for: a process that looked for its
    /// servers may have made them.
    ///
    /// # Errors
    /// When a row is there, or the server cannot be asked.
    pub async fn refuse_unless_empty(&self) -> Result<(), BackupError> {
        self.query(WRITING, NAMESPACE.to_owned()).await?;
        let info = self.query(WRITING, "INFO FOR DB".to_owned()).await?;
        let tables = info["tables"].as_object().into_iter().flatten().map(|(name, _)| name);
        for table in tables.filter(|table| !["migration", "room"].contains(&table.as_str())) {
            let rows = self
                .query(WRITING, format!("SELECT VALUE id FROM `{table}` LIMIT 1"))
                .await?;
            if rows.as_array().is_none_or(|rows| !rows.is_empty()) {
                return Err(BackupError::NotEmpty {
                    what: format!("there are rows in the table {table} of the database at {}", self.base),
                    remedy: "name another database server, or run REMOVE DATABASE maru in the namespace maru of this \
                             one"
                    .to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Writes an export into it. Tables that are there give way: there is nothing in them.
    ///
    /// # Errors
    /// When it does not take everything.
    pub async fn import(&self, path: &Path, name: &str) -> Result<(), BackupError> {
        let anew = format!("USE NS maru; REMOVE DATABASE IF EXISTS maru; {NAMESPACE}");
        self.query(WRITING, anew).await?;
        let file = File::open(path).await.map_err(BackupError::file(path))?;
        let pieces = stream::try_unfold(file, |mut file| async move {
            let mut piece = vec![0; PIECE];
            let length = file.read(&mut piece).await?;
            piece.truncate(length);
            Ok::<_, std::io::Error>((length > 0).then_some((piece, file)))
        });
        let body = reqwest::Body::wrap_stream(pieces);
        send(WRITING, self.post("/import").body(body)).await?;
        let told = self
            .query(WRITING, "SELECT VALUE doc FROM ONLY zz_backup:['end']".to_owned())
            .await?;
        match told == name {
            true => Ok(()),
            false => Err(BackupError::database(WRITING, &"it did not come to its end")),
        }
    }
}

async fn send(doing: &'static str, request: RequestBuilder) -> Result<Response, BackupError> {
    let answer = request
        .send()
        .await
        .map_err(|error| BackupError::database(doing, &error.without_url()))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    // Its own words may be as long as what it was given.
    let mut why = answer.text().await.unwrap_or_default();
    why.truncate(why.char_indices().nth(400).map_or(why.len(), |(at, _)| at));
    Err(BackupError::database(doing, &format!("{status} {why}")))
}
