//! Signing up, logging in, and staying who one is.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, PASSWORD};
use crate::person::{Person, Reply};

fn part(token: &str, nth: usize) -> Value {
    let part = token.split('.').nth(nth).expect("a part of a token");
    let json = BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64");
    serde_json::from_slice(&json).expect("json")
}

fn cookie(reply: &Reply) -> String {
    let set = reply.header("set-cookie").expect("a cookie");
    set.split(';').next().expect("a pair").to_owned()
}

async fn refresh(person: &Person, cookie: &str) -> Reply {
    person
        .send(Method::POST, "/v1/auth/refresh", &[("cookie", cookie)], None)
        .await
}

#[tokio::test]
async fn who_signs_up_can_log_in_and_nobody_else_gets_the_name() {
    let house = House::new().await;
    let mut mina = house.stranger();
    let signed_up = mina.sign_up("Mina", "author").await.is(201);
    assert_eq!(
        (signed_up.json["status"].as_str(), signed_up.json["version"].as_u64()),
        (Some("done"), Some(1))
    );
    let mut twin = house.stranger();
    twin.sign_up("mINA", "reader")
        .await
        .refused_as(409, "MEMBERS_USERNAME_TAKEN");

    let logged_in = mina.log_in().await;
    assert_eq!(
        (
            logged_in.str("tokenType").as_str(),
            logged_in.json["expiresIn"].as_i64()
        ),
        ("Bearer", Some(300))
    );
    let set = logged_in.header("set-cookie").expect("a cookie").to_owned();
    assert!(set.starts_with("refresh_token="), "{set}");
    for wanted in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/v1/auth"] {
        assert!(set.contains(wanted), "{wanted} is missing in {set}");
    }
    let me = mina.get("/v1/members/me").await.is(200);
    assert_eq!(
        (me.str("username").as_str(), me.str("role").as_str()),
        ("Mina", "author")
    );
    assert!(!me.text.contains("assword") && !me.text.contains("hash"), "{}", me.text);

    // A name that nobody has and a password that does not fit are the same to who asks.
    let answer = async |name: &str, password: &str| {
        let body = json!({ "username": name, "password": password });
        house.stranger().post("/v1/auth/login", body).await.is(401)
    };
    let (wrong, unknown) = (
        answer("Mina", "another password").await,
        answer("nobody", PASSWORD).await,
    );
    assert_eq!(wrong.text, unknown.text);
    assert!(wrong.header("set-cookie").is_none());

    // Odd sign-ups are told apart by field.
    for (field, value) in [
        ("username", json!("ab")),
        ("username", json!("two words")),
        ("password", json!("short")),
        ("nickname", json!("")),
        ("nickname", json!("a\u{0}b")),
        ("role", json!("admin")),
        ("shoeSize", json!(43)),
    ] {
        let mut body = json!({ "username": "juno", "password": PASSWORD, "nickname": "Juno" });
        body[field] = value;
        let refused = house
            .stranger()
            .post("/v1/auth/signup", body)
            .await
            .refused_as(400, "VALIDATION");
        let pointer = refused.json["errors"][0]["pointer"]
            .as_str()
            .expect("a pointer")
            .to_owned();
        assert_eq!(pointer, format!("/{field}"), "{}", refused.text);
        assert!(
            !refused.text.contains(PASSWORD) && !refused.text.contains("short"),
            "{}",
            refused.text
        );
    }

    // ID-17: what was typed as a password is nowhere.
    house.ends_well().await;
    let log = house.log().join("\n");
    for secret in [PASSWORD, "another password", "argon2", &mina.token] {
        assert!(!log.contains(secret), "{secret:?} is in the log");
    }
    assert!(
        files_hold(&house.data(), "Mina"),
        "the search itself finds what is there"
    );
    assert!(!files_hold(&house.data(), PASSWORD), "the password is on disk");
    assert!(
        !files_hold(&house.data().join("nats"), "argon2"),
        "a bare hash is in a stream"
    );
}

/// Whether any file below a folder holds these bytes.
fn files_hold(folder: &std::path::Path, needle: &str) -> bool {
    std::fs::read_dir(folder).expect("a folder").flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return files_hold(&path, needle);
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
    })
}

#[tokio::test]
async fn a_token_says_who_one_is_and_nothing_else_does() {
    let house = House::new().await;
    let mut mina = house.stranger();
    mina.sign_up("mina", "author").await.is(201);
    let refresh_cookie = cookie(&mina.log_in().await);
    let juno = house.reader("juno").await;

    let (header, claims) = (part(&mina.token, 0), part(&mina.token, 1));
    assert_eq!(header["alg"], "RS256");
    assert_eq!((&claims["type"], &claims["iss"]), (&json!("access"), &json!("maru")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
    assert_eq!(claims["roles"], json!(["author"]));
    let me = mina.get("/v1/members/me").await.is(200);
    assert_eq!(claims["sub"], me.json["memberId"]);
    assert!(me.header("deprecation").is_none());
    // NF-28: the address of before goes on answering, and says where to ask instead.
    let old = mina.get("/v1/auth/me").await.is(200);
    assert_eq!(old.json, me.json);
    assert_eq!(old.header("deprecation"), Some("@1795910400"));
    assert_eq!(old.header("link"), Some("</v1/members/me>; rel=\"successor-version\""));
    let keys = house.get("/.well-known/jwks.json").await.is(200);
    let key = &keys.json["keys"][0];
    assert_eq!(
        (&key["kid"], &key["kty"], &key["alg"]),
        (&header["kid"], &json!("RSA"), &json!("RS256"))
    );
    assert!(key["n"].is_string() && key["e"].is_string(), "{key}");
    for private in ["d", "p", "q", "dp", "dq", "qi"] {
        assert!(key[private].is_null(), "{private} is published");
    }

    // ID-03, ID-04, ID-07: not with a changed token, no token, a refresh token, or a token signed by nobody.
    let me_with = async |token: &str| {
        let stranger = house.stranger().with_token(token);
        (
            stranger.get("/v1/auth/me").await.status,
            stranger.get("/v1/members/me").await.status,
        )
    };
    let [head, body, signature] = mina.token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let mut forged = claims.clone();
    forged["sub"] = part(&juno.token, 1)["sub"].clone();
    let forged = BASE64_URL_SAFE_NO_PAD.encode(forged.to_string());
    let none = BASE64_URL_SAFE_NO_PAD.encode(json!({ "alg": "none", "typ": "JWT" }).to_string());
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let refresh_token = refresh_cookie.trim_start_matches("refresh_token=");
    for bad in [
        String::new(),
        "nonsense".to_owned(),
        format!("{head}.{forged}.{signature}"),
        format!("{head}.{body}.{first}{}", &signature[1..]),
        format!("{none}.{body}."),
        refresh_token.to_owned(),
    ] {
        assert_eq!(me_with(&bad).await, (401, 401), "{bad}");
    }
    assert_eq!(me_with(&mina.token).await, (200, 200));

    // ID-15: headers say nothing about who one is.
    let id = me.str("memberId");
    for name in ["x-member-id", "x-user-id", "x-forwarded-user"] {
        let reply = juno
            .send(Method::GET, "/v1/members/me", &[(name, &id)], None)
            .await
            .is(200);
        assert_eq!(reply.str("username"), "juno");
    }
    house.ends_well().await;
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_a_second_use_ends_its_family() {
    let house = House::new().await;
    let mut mina = house.stranger();
    mina.sign_up("mina", "reader").await.is(201);
    let first = cookie(&mina.log_in().await);
    let second = refresh(&mina, &first).await.is(200);
    let renewed = mina.with_token(&second.str("accessToken"));
    assert_eq!(renewed.get("/v1/members/me").await.is(200).str("username"), "mina");
    let second = cookie(&second);
    assert_ne!(first, second);
    refresh(&mina, &first).await.refused_as(401, "REFRESH_REFUSED");
    refresh(&mina, &second).await.refused_as(401, "REFRESH_REFUSED");

    // Another login is another family; logging out ends just that one.
    let (here, there) = (cookie(&mina.log_in().await), cookie(&mina.log_in().await));
    let out = mina
        .send(Method::POST, "/v1/auth/logout", &[("cookie", &here)], None)
        .await
        .is(204);
    assert!(
        out.header("set-cookie").is_some_and(|set| set.contains("Max-Age=0")),
        "{out:?}"
    );
    refresh(&mina, &here).await.is(401);
    let there = cookie(&refresh(&mina, &there).await.is(200));

    // An access token is no refresh token, and none is none.
    refresh(&mina, &format!("refresh_token={}", mina.token)).await.is(401);
    mina.send(Method::POST, "/v1/auth/refresh", &[], None).await.is(401);

    // Of many uses at once exactly one wins, or none: never two.
    let uses = (0..8).map(|_| {
        let (mina, there) = (mina.clone(), there.clone());
        tokio::spawn(async move { refresh(&mina, &there).await.status })
    });
    let mut won = 0;
    for status in uses.collect::<Vec<_>>() {
        won += u32::from(status.await.expect("an answer") == 200);
    }
    assert_eq!(won, 1, "a refresh token was good {won} times");
    house.ends_well().await;
}
