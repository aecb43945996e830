//! Who asks. Permission is a type in a handler's signature: a route that takes [`Author`] cannot be
//! reached by a reader. Who somebody is comes from the signed token alone; no header can say it.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use jsonwebtoken::{Algorithm, Header, Validation};
use maru_schemas::envelope::Actor;
use maru_schemas::ids::MemberId;
use maru_schemas::members::{REFRESH_SECONDS, Role};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::door::Door;
use crate::keys::Keys;
use crate::problem::{NOT_ALLOWED, NOT_SIGNED_IN, Problem};

/// How long an access token is good, in seconds.
pub const ACCESS_SECONDS: i64 = 300;
/// Who issues tokens, and for whom.
const ISSUER: &str = "maru";

/// What a token is for. One is never taken for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenType {
    /// Sent with requests.
    Access,
    /// Exchanged for a new pair, once.
    Refresh,
}

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// For whom it is.
    pub aud: String,
    /// The member.
    pub sub: MemberId,
    /// What it is for.
    #[serde(rename = "type")]
    pub kind: TokenType,
    /// What the member may do.
    pub roles: Vec<Role>,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Good until, in seconds since 1970.
    pub exp: i64,
    /// This token.
    pub jti: Uuid,
    /// For a refresh token: the login it descends from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Uuid>,
}

impl Claims {
    /// A token of a kind for a member from now on.
    #[must_use]
    pub fn new(sub: MemberId, role: Role, kind: TokenType, now: i64, jti: Uuid, family: Option<Uuid>) -> Self {
        let seconds = match kind {
            TokenType::Access => ACCESS_SECONDS,
            TokenType::Refresh => REFRESH_SECONDS,
        };
        Self {
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
            sub,
            kind,
            roles: vec![role],
            iat: now,
            exp: now + seconds,
            jti,
            family,
        }
    }

    /// The token, signed.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self, keys: &Keys) -> Result<String, Problem> {
        let header = Header {
            kid: Some(keys.key_id.clone()),
            ..Header::new(Algorithm::RS256)
        };
        jsonwebtoken::encode(&header, self, &keys.signing).map_err(Problem::internal)
    }

    /// Reads a token of a kind; None for one that is not ours, not valid any more, or of another kind.
    #[must_use]
    pub fn read(keys: &Keys, token: &str, kind: TokenType) -> Option<Self> {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.leeway = 0;
        let claims = jsonwebtoken::decode::<Self>(token, &keys.checking, &validation)
            .ok()?
            .claims;
        (claims.kind == kind).then_some(claims)
    }
}

/// A signed-in person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub id: MemberId,
    /// What they may do.
    pub role: Role,
    /// Until when their token says so, in seconds since 1970.
    pub until: i64,
}

impl Member {
    /// As the cause of a command.
    #[must_use]
    pub const fn actor(&self) -> Actor {
        match self.role {
            Role::Admin => Actor::Admin(self.id),
            Role::Reader | Role::Author => Actor::Member(self.id),
        }
    }
}

/// A signed-in person who may write books.
#[derive(Debug, Clone, Copy)]
pub struct Author(pub Member);

/// Somebody who looks after the installation.
#[derive(Debug, Clone, Copy)]
pub struct Administrator(pub Member);

/// Reads the token of a request once, for everything behind it.
pub async fn identify(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let member = token
        .and_then(|token| Claims::read(&door.keys, token.trim(), TokenType::Access))
        .and_then(|claims| {
            Some(Member {
                id: claims.sub,
                role: claims.roles.first().copied()?,
                until: claims.exp,
            })
        });
    if let Some(member) = member {
        request.extensions_mut().insert(member);
    }
    next.run(request).await
}

impl<S: Sync> FromRequestParts<S> for Member {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().copied().ok_or_else(|| NOT_SIGNED_IN.into())
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Member {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        Ok(parts.extensions.get().copied())
    }
}

impl<S: Sync> FromRequestParts<S> for Author {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let member = <Member as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        match member.role {
            Role::Author | Role::Admin => Ok(Self(member)),
            Role::Reader => Err(NOT_ALLOWED.into()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Administrator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let member = <Member as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        match member.role {
            Role::Admin => Ok(Self(member)),
            Role::Author | Role::Reader => Err(NOT_ALLOWED.into()),
        }
    }
}
