//! The OpenAPI document: what is said once about all operations is added to each of them here.

use maru_schemas::ids::{ImageId, ReviewId};
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, Header, InfoBuilder, Object, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    Response, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::{FieldError, Problem};

/// What stands above all operations.
#[must_use]
pub fn frame() -> OpenApi {
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Maru")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "Commands answer when they have taken effect, or with 202 and where to ask. Send an \
                     `Idempotency-Key` to be able to repeat a request, `Prefer: wait=n` or `respond-async` to say \
                     how long to wait. Read your own writes with the `Maru-Seq` of an answer as `Maru-Min-Seq`. \
                     Every failure is a problem (RFC 9457) with a stable `code`; /problems lists them.",
                ))
                .build(),
        )
        .components(Some(
            ComponentsBuilder::new()
                .schema("Problem", Problem::schema())
                .schema(FieldError::name(), FieldError::schema())
                // Named in addresses alone, where the derive does not look.
                .schema(ImageId::name(), ImageId::schema())
                .schema(ReviewId::name(), ReviewId::schema())
                .security_scheme(
                    "bearer",
                    SecurityScheme::Http(
                        HttpBuilder::new()
                            .scheme(HttpAuthScheme::Bearer)
                            .bearer_format("JWT")
                            .build(),
                    ),
                )
                .build(),
        ))
        .build()
}

/// Adds the problems that an operation can answer with, by what it takes.
#[must_use]
pub fn finish(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        let writes = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in writes.into_iter().flatten() {
            problems(operation, path, &["409", "412", "422"]);
            if operation.request_body.is_some() {
                problems(operation, path, &["413", "415"]);
            }
            // What operators do is no command: it is answered when it is done, and doing it twice is once.
            if path.starts_with("/v1/ops/") {
                continue;
            }
            let key = text(Some("^[!-~]{1,200}$"));
            header(
                operation,
                "Idempotency-Key",
                "Repeating a request with the same key repeats its answer.",
                key,
            );
            header(
                operation,
                "Prefer",
                "`wait=n` in seconds, or `respond-async`.",
                text(None),
            );
            expected_wait(operation);
        }
        if let Some(operation) = &mut item.get {
            problems(operation, path, &[]);
            let reads_views = |tags: &Vec<String>| tags.iter().any(|tag| tag != "members" && tag != "ops");
            if operation.tags.as_ref().is_some_and(reads_views) {
                let token = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).build();
                header(
                    operation,
                    "Maru-Min-Seq",
                    "Wait until the view has read as far as this token.",
                    token,
                );
            }
        }
    }
    document
}

fn problems(operation: &mut Operation, path: &str, more: &[&str]) {
    let mut statuses = vec!["400", "401", "403", "429", "500", "503"];
    if path.contains('{') || path.ends_with("/purchases") {
        statuses.push("404");
    }
    statuses.extend(more);
    for status in statuses {
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(problem()));
    }
}

fn problem() -> Response {
    ResponseBuilder::new()
        .description("A problem; `code` says which.")
        .content(
            "application/problem+json",
            ContentBuilder::new()
                .schema(Some(RefOr::Ref(Ref::from_schema_name("Problem"))))
                .build(),
        )
        .build()
}

/// What a command that is still under way says of how long it will take.
fn expected_wait(operation: &mut Operation) {
    let Some(RefOr::T(accepted)) = operation.responses.responses.get_mut("202") else {
        return;
    };
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).build();
    let mut header = Header::new(seconds);
    header.description = Some(
        "About how many seconds it takes to get through what waits before it; left out if nobody can tell.".to_owned(),
    );
    accepted
        .headers
        .insert("Maru-Expected-Wait".to_owned(), RefOr::T(header));
}

fn text(pattern: Option<&str>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).pattern(pattern).build()
}

fn header(operation: &mut Operation, name: &str, description: &str, schema: Object) {
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .description(Some(description))
        .schema(Some(schema))
        .build();
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter));
}
