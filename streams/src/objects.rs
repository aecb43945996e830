//! Generated images, in JetStream's object store: ours, not a provider's link that expires.

use bytes::Bytes;
use tokio::io::AsyncReadExt;

use crate::nats::Nats;
use crate::topology::IMAGES;

/// The object store of images.
#[derive(Clone)]
pub struct Images {
    nats: Nats,
}

/// Why an image could not be stored or read.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {why}")]
pub struct ImagesError {
    doing: &'static str,
    why: String,
}

fn failed(doing: &'static str) -> impl FnOnce(&dyn std::fmt::Display) -> ImagesError {
    move |why| ImagesError {
        doing,
        why: why.to_string(),
    }
}

impl Images {
    /// The images behind this connection.
    #[must_use]
    pub const fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Stores an image under its name. Storing the same again changes nothing that a reader sees.
    ///
    /// # Errors
    /// When the server did not confirm that it is stored.
    pub async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), ImagesError> {
        let store = self.store().await?;
        let mut bytes = bytes;
        store
            .put(name, &mut bytes)
            .await
            .map_err(|error| failed("store an image")(&error))?;
        Ok(())
    }

    /// Reads an image; None if there is none of this name.
    ///
    /// # Errors
    /// When the server did not answer, or what it gave is not whole.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, ImagesError> {
        use async_nats::jetstream::object_store::GetErrorKind;
        let store = self.store().await?;
        let mut object = match store.get(name).await {
            Ok(object) => object,
            Err(error) if error.kind() == GetErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("find an image")(&error)),
        };
        let mut bytes = Vec::with_capacity(object.info().size);
        object
            .read_to_end(&mut bytes)
            .await
            .map_err(|error| failed("read an image")(&error))?;
        Ok(Some(bytes.into()))
    }

    async fn store(&self) -> Result<async_nats::jetstream::object_store::ObjectStore, ImagesError> {
        self.nats
            .jetstream()
            .get_object_store(IMAGES)
            .await
            .map_err(|error| failed("open the object store")(&error))
    }
}
