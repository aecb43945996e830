//! Generated images, in JetStream's object store: ours, not a provider's link that expires.

use async_nats::jetstream::object_store::{ObjectInfo, ObjectMetadata};
use bytes::Bytes;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use tokio::io::AsyncReadExt;
use uuid::Uuid;

use crate::nats::Nats;
use crate::topology::IMAGES;

/// The object store of images.
#[derive(Clone)]
pub struct Images {
    nats: Nats,
}

/// What is known of an image without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// What it is about; those that were stored long ago do not say.
    pub about: Option<Uuid>,
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

    /// Stores an image under its name, with what it is about. Storing the same again changes nothing that a
    /// reader sees.
    ///
    /// # Errors
    /// When the server did not confirm that it is stored.
    pub async fn put(&self, name: &str, about: Uuid, bytes: &[u8]) -> Result<(), ImagesError> {
        let store = self.store().await?;
        let mut bytes = bytes;
        let meta = ObjectMetadata {
            name: name.to_owned(),
            description: Some(about.to_string()),
            ..ObjectMetadata::default()
        };
        store
            .put(meta, &mut bytes)
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

    /// What was stored before a time.
    ///
    /// # Errors
    /// When the server did not answer.
    pub async fn older_than(&self, time: Timestamp) -> Result<Vec<Stored>, ImagesError> {
        let store = self.store().await?;
        let listed = store.list().await.map_err(|error| failed("list the images")(&error))?;
        let listed = listed.try_collect::<Vec<_>>().await;
        let is_old = |info: &ObjectInfo| {
            let modified = info.modified.map(|at| at.unix_timestamp());
            !info.deleted && modified.is_some_and(|at| at < time.as_second())
        };
        Ok(listed
            .map_err(|error| failed("list the images")(&error))?
            .into_iter()
            .filter(is_old)
            .map(|info| Stored {
                about: info
                    .description
                    .as_deref()
                    .and_then(|about| Uuid::parse_str(about).ok()),
                name: info.name,
            })
            .collect())
    }

    /// Takes an image away. One that is not there is as good.
    ///
    /// # Errors
    /// When the server did not answer.
    pub async fn delete(&self, name: &str) -> Result<(), ImagesError> {
        use async_nats::jetstream::object_store::DeleteErrorKind;
        let store = self.store().await?;
        match store.delete(name).await {
            Err(error) if error.kind() != DeleteErrorKind::NotFound => Err(failed("take an image away")(&error)),
            _ => Ok(()),
        }
    }

    async fn store(&self) -> Result<async_nats::jetstream::object_store::ObjectStore, ImagesError> {
        self.nats
            .jetstream()
            .get_object_store(IMAGES)
            .await
            .map_err(|error| failed("open the object store")(&error))
    }
}
