//! Reading what was sent: JSON of the right type, nothing unknown in it, every field as it should be.
//! Each thing that is wrong is named with a pointer.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use futures_util::StreamExt;
use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::problem::{BAD_REQUEST, FieldError, NOT_FOUND, NOT_JSON, Problem, TOO_LARGE, VALIDATION};

/// The largest body, in bytes.
pub const LARGEST_BODY: usize = 1 << 20;
/// How much of a larger one is read and thrown away, in bytes.
const MOST_DISCARDED: usize = 16 << 20;

/// A JSON body that is as it should be.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S, T> FromRequest<S> for Body<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let media_type = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let is_json = media_type.is_some_and(|text| {
            let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
        });
        if !is_json {
            return Err(NOT_JSON.into());
        }
        let bytes = whole(request.into_body()).await?;
        let body: T = read(&bytes)?;
        body.validate().map_err(|report| {
            let errors = report
                .iter()
                .map(|(path, error)| FieldError {
                    pointer: pointer(&path.to_string()),
                    detail: error.message().to_owned(),
                })
                .collect();
            Problem::from(VALIDATION).with_errors(errors)
        })?;
        Ok(Self(body))
    }
}

/// The whole body, if it is not too large. Some of what is too much is read all the same: a client that
/// is cut off while it still writes never gets to see the answer.
async fn whole(body: axum::body::Body) -> Result<Vec<u8>, Problem> {
    let (mut bytes, mut too_much) = (Vec::new(), 0);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk
            .map_err(|_| Problem::from(BAD_REQUEST).because("The body ended before it was whole; send it again."))?;
        if too_much == 0 && bytes.len() + chunk.len() <= LARGEST_BODY {
            bytes.extend_from_slice(&chunk);
        } else {
            too_much += chunk.len();
            if too_much > MOST_DISCARDED {
                break;
            }
        }
    }
    if too_much > 0 { Err(TOO_LARGE.into()) } else { Ok(bytes) }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = pointer(&error.path().to_string());
        let error = error.into_inner();
        match error.classify() {
            Category::Data => Problem::from(VALIDATION).with_errors(vec![FieldError {
                pointer: path,
                // "… at line 1 column 7" says nothing that the pointer does not.
                detail: error
                    .to_string()
                    .split(" at line ")
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            }]),
            _ => Problem::from(BAD_REQUEST).because(format!("The body is not JSON: {error}.")),
        }
    })?;
    json.end()
        .map_err(|error| Problem::from(BAD_REQUEST).because(format!("The body is not one JSON value: {error}.")))?;
    Ok(value)
}

/// `a.b[0]` as `/a/b/0`.
fn pointer(path: &str) -> String {
    let path: String = path
        .replace('[', ".")
        .replace(']', "")
        .split('.')
        .filter(|part| !part.is_empty() && *part != "?")
        .map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1")))
        .collect();
    path
}

/// Query parameters, with a problem instead of axum's own text when they are not as they should be.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(params) = Query::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Problem::from(BAD_REQUEST).because(format!("{}.", rejection.body_text())))?;
        Ok(Self(params))
    }
}

/// A part of the address that names a thing. What is not a name of anything is not found.
#[derive(Debug)]
pub struct Named<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(name) = Path::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::from(NOT_FOUND))?;
        Ok(Self(name))
    }
}

/// One line that somebody typed: something is in it, and nothing that moves a cursor.
///
/// # Errors
/// What is wrong with it.
pub fn line(value: &str, _: &()) -> garde::Result {
    if value.trim().is_empty() {
        return Err(garde::Error::new("must not be empty"));
    }
    if value.chars().any(char::is_control) {
        return Err(garde::Error::new("must be one line without control characters"));
    }
    Ok(())
}

/// Text that somebody typed: line breaks and tabs are welcome, other control characters are not.
///
/// # Errors
/// What is wrong with it.
pub fn text(value: &str, _: &()) -> garde::Result {
    if value
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return Err(garde::Error::new(
            "must not hold control characters other than line breaks and tabs",
        ));
    }
    Ok(())
}

/// Like [`text`], and something must be in it.
///
/// # Errors
/// What is wrong with it.
pub fn some_text(value: &str, context: &()) -> garde::Result {
    if value.trim().is_empty() {
        return Err(garde::Error::new("must not be empty"));
    }
    text(value, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_by_a_pointer() {
        assert_eq!(pointer("author.books[2].title"), "/author/books/2/title");
        assert_eq!(pointer("."), "");
    }

    #[test]
    fn a_line_has_something_in_it_and_is_one_line() {
        assert!(line("숲속의 고양이 🐈", &()).is_ok());
        for bad in ["", "  \t ", "two\nlines", "bell\u{7}", "nul\0"] {
            assert!(line(bad, &()).is_err(), "{bad:?}");
        }
        assert!(text("two\nlines", &()).is_ok() && text("nul\0", &()).is_err());
    }
}
