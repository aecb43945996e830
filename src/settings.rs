//! Every setting, as an option and as an environment variable, with what it is good for. `--help` prints
//! them; there is no settings file.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;
use maru_streams::store::{Addresses, Credentials};
use maru_streams::topology::Size;
use maru_workers::ports::openai::OpenAiSettings;
use secrecy::{ExposeSecret, SecretString};

use crate::apart::{Apart, UnknownContext};

/// Where this process listens.
#[derive(Args, Clone)]
pub struct Listen {
    /// Where the API listens.
    #[arg(long, env = "MARU_API", default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    pub api: SocketAddr,
}

/// Where this process tells about itself.
#[derive(Args, Clone)]
pub struct Metrics {
    /// Where Prometheus scrapes /metrics.
    #[arg(
        long,
        env = "MARU_METRICS",
        default_value = "127.0.0.1:9090",
        value_name = "HOST:PORT"
    )]
    pub metrics: SocketAddr,
}

/// How much the API takes, and from whom.
#[derive(Args, Clone)]
pub struct Limits {
    /// Requests a second that one person may make on average; bursts are twice that.
    #[arg(long, env = "MARU_REQUESTS_PER_SECOND", default_value = "100", value_name = "N")]
    pub requests_per_second: NonZeroU32,
    /// Requests that are served at the same time; more are told to come again.
    #[arg(long, env = "MARU_REQUESTS_AT_ONCE", default_value_t = 1024, value_name = "N")]
    pub requests_at_once: usize,
    /// Networks of the proxies before this one (10.42.0.0/16, with commas between): whom they heard a request from is
    /// whom it counts for. Whoever else writes X-Forwarded-For is not believed.
    #[arg(long, env = "MARU_TRUSTED_PROXIES", value_delimiter = ',', value_name = "CIDR")]
    pub trusted_proxies: Vec<IpNet>,
    /// What would take longer than this many seconds is turned away, with the time it would take.
    #[arg(long, env = "MARU_LONGEST_WAIT_S", default_value_t = 900, value_name = "S")]
    pub longest_wait_s: u64,
    /// Makes an administrator called admin; as a variable only, so that it is in no process list.
    #[arg(
        env = "MARU_ADMIN_PASSWORD",
        hide_env_values = true,
        hide = true,
        long = "admin-password-from-env",
        value_name = "PASSWORD"
    )]
    pub admin_password: Option<SecretString>,
    /// Refuse to start where "accepted" would not survive a power cut.
    #[arg(long, env = "MARU_PRODUCTION")]
    pub production: bool,
}

/// Servers of one's own.
#[derive(Args, Clone)]
pub struct Servers {
    /// The nats-server.
    #[arg(
        long,
        env = "NATS_URL",
        default_value = "nats://127.0.0.1:4222",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub nats: String,
    /// The database: ws://host:8000, or surrealkv:///folder for one process alone.
    #[arg(
        long,
        env = "MARU_DB_URL",
        default_value = "ws://127.0.0.1:8000",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database: String,
    /// A user of the database's root level, for ws://.
    #[arg(long, env = "MARU_DB_USER", value_name = "NAME")]
    pub database_user: Option<String>,
    /// That user's password; as a variable only, so that it is in no process list.
    #[arg(
        env = "MARU_DB_PASSWORD",
        hide_env_values = true,
        hide = true,
        long = "database-password-from-env",
        value_name = "PASSWORD"
    )]
    pub database_password: Option<SecretString>,
    #[command(flatten)]
    pub apart: Apart,
}

impl Servers {
    /// Where the databases are: the main one, and those of contexts that have their own.
    pub fn databases(&self) -> Result<Addresses, UnknownContext> {
        self.apart.beside(&self.database)
    }

    /// How to sign in at the database, if it has users.
    pub fn credentials(&self) -> Option<Credentials> {
        Some(Credentials {
            user: self.database_user.clone()?,
            password: self.database_password.as_ref()?.expose_secret().to_owned(),
        })
    }
}

/// Where the installation's keys are.
#[derive(Args, Clone)]
pub struct KeysFolder {
    /// The folder of the installation's keys; every process that signs or seals needs the same ones.
    #[arg(long, env = "MARU_KEYS", default_value = ".maru/keys", value_name = "FOLDER")]
    pub keys: PathBuf,
}

/// How large the streams may grow.
#[derive(Args, Clone, Copy)]
pub struct StreamSize {
    /// The most a stream may hold, in bytes; a full one refuses.
    #[arg(long, env = "MARU_STREAM_MAX_BYTES", default_value_t = Size::default().max_bytes, value_name = "BYTES")]
    pub stream_max_bytes: i64,
    /// Copies of each stream, on a cluster of as many servers.
    #[arg(long, env = "MARU_STREAM_REPLICAS", default_value_t = 1, value_name = "N")]
    pub stream_replicas: usize,
}

impl From<StreamSize> for Size {
    fn from(streams: StreamSize) -> Self {
        Self {
            max_bytes: streams.stream_max_bytes,
            replicas: streams.stream_replicas,
        }
    }
}

/// How long the streams keep what everybody has settled.
#[derive(Args, Clone, Copy)]
pub struct Keeping {
    /// Hours that commands and jobs are kept after they are settled: so long the same Idempotency-Key is the
    /// same command, and so long a damaged database can be healed from them.
    #[arg(long, env = "MARU_HORIZON_HOURS", default_value_t = 24, value_name = "HOURS", value_parser = clap::value_parser!(u64).range(1..))]
    pub horizon_hours: u64,
}

impl Keeping {
    pub const fn horizon(self) -> Duration {
        Duration::from_secs(self.horizon_hours.saturating_mul(3600))
    }
}

/// Who writes and paints, and who takes money.
#[derive(Args, Clone)]
pub struct Outside {
    /// An OpenAI-compatible server, with its /v1; without one the built-in storyteller writes samples.
    #[arg(long, env = "OPENAI_BASE_URL", value_name = "URL")]
    pub openai_base_url: Option<String>,
    /// Its key; as a variable only, so that it is in no process list.
    #[arg(
        env = "OPENAI_API_KEY",
        hide_env_values = true,
        hide = true,
        long = "openai-api-key-from-env",
        value_name = "KEY"
    )]
    pub openai_api_key: Option<SecretString>,
    /// The chat model that writes stories.
    #[arg(long, env = "MARU_STORY_MODEL", default_value = "gpt-4.1-mini", value_name = "NAME")]
    pub story_model: String,
    /// The model that paints images.
    #[arg(
        long,
        env = "MARU_IMAGE_MODEL",
        default_value = "gpt-image-1-mini",
        value_name = "NAME"
    )]
    pub image_model: String,
    /// The most tokens of a story.
    #[arg(long, env = "MARU_STORY_MAX_TOKENS", default_value_t = 2000, value_name = "N")]
    pub story_max_tokens: u32,
    /// Whether the chat model can go on behind a story that was cut off; otherwise it is asked for all of it
    /// again.
    #[arg(long, env = "MARU_STORY_CONTINUES", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub story_continues: bool,
    /// How long the AI may take for an image, or for the next piece of a story, in milliseconds.
    #[arg(long, env = "MARU_AI_TIMEOUT_MS", default_value_t = 120_000, value_name = "MS")]
    pub ai_timeout_ms: u64,
    /// How long the payment provider may take for one answer, in milliseconds.
    #[arg(long, env = "MARU_PAYMENT_TIMEOUT_MS", default_value_t = 3_000, value_name = "MS")]
    pub payment_timeout_ms: u64,
}

impl Outside {
    /// How long the payment provider may take.
    pub const fn bank_timeout(&self) -> Duration {
        Duration::from_millis(self.payment_timeout_ms)
    }

    /// The AI server, if one is named.
    pub fn openai(&self) -> Option<OpenAiSettings> {
        Some(OpenAiSettings {
            base_url: self.openai_base_url.clone().filter(|url| !url.is_empty())?,
            api_key: self.openai_api_key.clone().unwrap_or_default(),
            story_model: self.story_model.clone(),
            image_model: self.image_model.clone(),
            story_max_tokens: self.story_max_tokens,
            story_continues: self.story_continues,
            timeout: Duration::from_millis(self.ai_timeout_ms),
        })
    }
}
