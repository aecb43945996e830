//! Signing up, logging in, and who I am.
//!
//! Signing up is a command like any other; logging in, refreshing and logging out are answered here and
//! now, from the account's row. A refresh token is good once: it is exchanged for the next of its family,
//! and one that comes a second time ends the family, because somebody else has it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use garde::Validate;
use maru_schemas::ids::{self, AccountId, MemberId};
use maru_schemas::members::{self, Account, Command, Login, Profile, REFRESH_SECONDS, Role};
use maru_streams::store::Key;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::accept::{Accepted, Wants, new_id};
use crate::door::{Door, Here};
use crate::password;
use crate::problem::{NOT_SIGNED_IN, Problem, REFRESH_REFUSED, WRONG_CREDENTIALS};
use crate::superseded::Superseded;
use crate::valid::{Body, line};
use crate::who::{ACCESS_SECONDS, Claims, Member, TokenType};

const COOKIE: &str = "refresh_token";
/// The fewest characters of a password.
pub(crate) const SHORTEST_PASSWORD: usize = 8;

/// The context's addresses.
#[expect(deprecated, reason = "an address that is old goes on working")]
pub fn routes() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new()
        .routes(routes!(sign_up))
        .routes(routes!(log_in))
        .routes(routes!(refresh))
        .routes(routes!(log_out))
        .routes(routes!(auth_me))
        .routes(routes!(members_me))
        .routes(routes!(published_keys))
}

fn is_username(value: &str, _: &()) -> garde::Result {
    if value
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-'))
    {
        Ok(())
    } else {
        Err(garde::Error::new("takes letters, digits, dots, dashes and underscores"))
    }
}

/// What a new member chooses to be.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NewRole {
    /// Buys, reads and reviews.
    #[default]
    Reader,
    /// Also writes and sells books.
    Author,
}

/// A new member.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignUp {
    /// 3 to 40 letters, digits, dots, dashes and underscores; case makes no difference.
    #[garde(length(chars, min = 3, max = 40), custom(is_username))]
    #[schema(min_length = 3, max_length = 40)]
    username: String,
    /// 8 to 128 characters.
    #[garde(length(chars, min = SHORTEST_PASSWORD, max = 128))]
    #[schema(min_length = 8, max_length = 128, format = Password)]
    password: String,
    /// The name shown to others, up to 30 characters.
    #[garde(length(chars, max = 30), custom(line))]
    #[schema(min_length = 1, max_length = 30)]
    nickname: String,
    /// A reader, if not said.
    #[serde(default)]
    #[garde(skip)]
    role: NewRole,
}

#[utoipa::path(post, path = "/v1/auth/signup", tag = "members", request_body = SignUp,
    responses((status = 201, description = "The account is there.", body = Accepted),
        (status = 202, description = "Taken in; not answered yet.", body = Accepted)))]
/// Sign up.
async fn sign_up(State(door): Here, wants: Wants, Body(asked): Body<SignUp>) -> Result<Response, Problem> {
    let account = AccountId::of_username(&asked.username);
    let order = door.order(wants, &format!("anonymous {account}"), "POST /v1/auth/signup", &asked)?;
    let command = Command::RegisterAccount {
        member: MemberId(ids::derive(order.id, "member")),
        username: asked.username,
        nickname: asked.nickname,
        role: match asked.role {
            NewRole::Reader => Role::Reader,
            NewRole::Author => Role::Author,
        },
        sealed_hash: password::sealed_hash(&door.keys, asked.password).await?,
    };
    let actor = maru_schemas::envelope::Actor::Anonymous;
    let taken = door.accept::<members::Members>(order, actor, account, &command).await?;
    Ok(taken.respond(StatusCode::CREATED, Some("/v1/members/me".to_owned())))
}

/// Who wants in.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogIn {
    #[garde(length(chars, max = 200))]
    username: String,
    #[garde(length(chars, max = 200))]
    #[schema(format = Password)]
    password: String,
}

/// A pair of tokens; the refresh token is in the cookie, where no script reads it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// Send it as `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// How long the access token is good, in seconds.
    expires_in: i64,
}

#[utoipa::path(post, path = "/v1/auth/login", tag = "members", request_body = LogIn,
    responses((status = 200, description = "The tokens; the refresh token comes as a cookie.", body = Tokens)))]
/// Log in.
async fn log_in(State(door): Here, jar: CookieJar, Body(asked): Body<LogIn>) -> Result<Response, Problem> {
    let account: Option<(u64, Account)> = door
        .store
        .state(members::CONTEXT, AccountId::of_username(&asked.username))
        .await?;
    let account = account.map(|(_, account)| account);
    let sealed = account.as_ref().map(|account| account.sealed_hash.as_str());
    let fits = password::fits(&door.keys, sealed, asked.password).await?;
    // One answer for an unknown name and for a wrong password.
    let account = account.filter(|_| fits).ok_or(WRONG_CREDENTIALS)?;
    let (family, current) = (new_id(), new_id());
    let row = Login {
        member: account.member,
        current: Some(current),
    };
    door.store.create(&Key::of("members_refresh", family), &row).await?;
    tokens(&door, jar, account.member, account.role, family, current)
}

#[utoipa::path(post, path = "/v1/auth/refresh", tag = "members", params(("refresh_token" = String, Cookie)),
    responses((status = 200, description = "The next tokens; the old refresh token is spent.", body = Tokens)))]
/// Exchange the refresh token for the next pair.
async fn refresh(State(door): Here, jar: CookieJar) -> Result<Response, Problem> {
    let claims = refresh_claims(&door, &jar).ok_or(REFRESH_REFUSED)?;
    let family = claims.family.ok_or(REFRESH_REFUSED)?;
    let key = Key::of("members_refresh", family);
    let row: Login = door.store.get(&key).await?.ok_or(REFRESH_REFUSED)?;
    let next = Login {
        current: Some(new_id()),
        ..row.clone()
    };
    let is_current = row.current == Some(claims.jti);
    if !is_current || !door.store.replace(&key, &row, &next).await? {
        end(&door, &key).await?;
        return Err(REFRESH_REFUSED.into());
    }
    let profile = profile(&door, claims.sub).await?;
    tokens(
        &door,
        jar,
        claims.sub,
        profile.role,
        family,
        next.current.unwrap_or_default(),
    )
}

#[utoipa::path(post, path = "/v1/auth/logout", tag = "members", params(("refresh_token" = Option<String>, Cookie)),
    responses((status = 204, description = "The refresh token is good for nothing any more.")))]
/// Log out.
async fn log_out(State(door): Here, jar: CookieJar) -> Result<Response, Problem> {
    if let Some(family) = refresh_claims(&door, &jar).and_then(|claims| claims.family) {
        end(&door, &Key::of("members_refresh", family)).await?;
    }
    let gone = Cookie::build(COOKIE).path("/v1/auth");
    Ok((StatusCode::NO_CONTENT, jar.remove(gone)).into_response())
}

/// Ends a family, whichever of its tokens is current.
async fn end(door: &Door, key: &Key) -> Result<(), Problem> {
    while let Some(row) = door.store.get::<Login>(key).await? {
        let ended = Login {
            current: None,
            ..row.clone()
        };
        if row == ended || door.store.replace(key, &row, &ended).await? {
            break;
        }
    }
    Ok(())
}

fn refresh_claims(door: &Door, jar: &CookieJar) -> Option<Claims> {
    Claims::read(&door.keys, jar.get(COOKIE)?.value(), TokenType::Refresh)
}

fn tokens(
    door: &Door,
    jar: CookieJar,
    member: MemberId,
    role: Role,
    family: Uuid,
    current: Uuid,
) -> Result<Response, Problem> {
    // Tokens live in real time, whatever clock the house runs on.
    let now = door.clock.now().as_second();
    let access = Claims::new(member, role, TokenType::Access, now, new_id(), None).sign(&door.keys)?;
    let refresh = Claims::new(member, role, TokenType::Refresh, now, current, Some(family)).sign(&door.keys)?;
    let cookie = Cookie::build((COOKIE, refresh))
        .path("/v1/auth")
        .http_only(true)
        .secure(true)
        .same_site(SameSite::Lax)
        .max_age(time::Duration::seconds(REFRESH_SECONDS));
    let body = Tokens {
        access_token: access,
        token_type: "Bearer",
        expires_in: ACCESS_SECONDS,
    };
    Ok((jar.add(cookie), Json(body)).into_response())
}

/// Me.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// What others know me by.
    member_id: MemberId,
    /// What I log in with.
    username: String,
    /// The name shown to others.
    nickname: String,
    /// What I may do.
    role: Role,
}

async fn profile(door: &Door, member: MemberId) -> Result<Profile, Problem> {
    let profile = door.store.get(&Key::of("members_profile", member)).await?;
    profile.ok_or_else(|| NOT_SIGNED_IN.into())
}

async fn me(door: &Door, member: Member) -> Result<Json<Me>, Problem> {
    let profile = profile(door, member.id).await?;
    Ok(Json(Me {
        member_id: member.id,
        username: profile.username,
        nickname: profile.nickname,
        role: profile.role,
    }))
}

/// Two addresses said the same; since 2026-11-29 it is the one under which the member is.
const AUTH_ME: Superseded = Superseded {
    since: "@1795910400",
    by: "</v1/members/me>; rel=\"successor-version\"",
};

#[utoipa::path(get, path = "/v1/auth/me", tag = "members", security(("bearer" = [])),
    responses((status = 200, description = "Signed in, as this member.", body = Me,
        headers(("Deprecation" = String, description = "Since when `/v1/members/me` is the address."),
            ("Link" = String, description = "That address.")))))]
/// Check a login. Ask `/v1/members/me` instead.
#[deprecated]
async fn auth_me(State(door): Here, member: Member) -> Result<(Superseded, Json<Me>), Problem> {
    Ok((AUTH_ME, me(&door, member).await?))
}

#[utoipa::path(get, path = "/v1/members/me", tag = "members", security(("bearer" = [])),
    responses((status = 200, description = "My profile.", body = Me)))]
/// My profile.
async fn members_me(State(door): Here, member: Member) -> Result<Json<Me>, Problem> {
    me(&door, member).await
}

#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "members",
    responses((status = 200, description = "The keys that check our tokens, as a JWK set.", body = serde_json::Value)))]
/// The keys that check our tokens.
async fn published_keys(State(door): Here) -> Result<Json<serde_json::Value>, Problem> {
    serde_json::to_value(&door.keys.published)
        .map(Json)
        .map_err(Problem::internal)
}
