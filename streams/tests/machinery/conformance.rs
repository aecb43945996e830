//! What every lane promises, on both backends.

mod on_servers {
    maru_streams::conformance!(maru_streams::testing::conformance::Servers);
}

mod in_memory {
    maru_streams::conformance!(maru_streams::testing::conformance::Memory);
}
