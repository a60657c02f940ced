//! The system bus, on which the host's other daemons are asked and told.
//!
//! Connected to when it is first needed, and again when the connection has ended; a host without a bus only lacks what is
//! reached over it. What is said there is the business of those who call.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::timeout;
use zbus::{Connection, DynamicType, Message, OwnedVariant, Type};

/// How long a daemon may take for an answer.
const LIMIT: Duration = Duration::from_secs(5);

/// The system bus.
#[derive(Debug, Clone, Default)]
pub struct Bus {
    connection: Arc<Mutex<Option<Connection>>>,
}

/// An object of a daemon, and the interface that is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object {
    /// The daemon's name on the bus.
    pub(crate) service: &'static str,
    /// The object.
    pub(crate) path: &'static str,
    /// The interface.
    pub(crate) interface: &'static str,
}

/// Says why a daemon was not asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BusError {
    /// There is no bus, the daemon is not there, or it refuses.
    #[error(transparent)]
    Refused(#[from] zbus::Error),
    /// It does not answer.
    #[error("no answer within {} s", LIMIT.as_secs())]
    Silent,
    /// It answers what was not asked for.
    #[error("{0} has an unexpected type")]
    Unexpected(&'static str),
}

impl Bus {
    /// Calls a method.
    ///
    /// *Errors*: [`BusError`]. *Cancel safety*: none; the daemon may have done it.
    pub(crate) async fn call<B>(&self, object: Object, method: &'static str, body: &B) -> Result<Message, BusError>
    where
        B: Serialize + DynamicType + Sync,
    {
        let Object { service, path, interface } = object;
        let exchange = async {
            let connection = self.connection().await?;
            Ok(connection.call_method(Some(service), path, Some(interface), method, body).await?)
        };
        timeout(LIMIT, exchange).await.map_err(|_| BusError::Silent)?
    }

    /// Reads a property.
    ///
    /// *Errors*: [`BusError`]. *Cancel safety*: safe.
    pub(crate) async fn property<T>(&self, object: Object, name: &'static str) -> Result<T, BusError>
    where
        T: DeserializeOwned + Type + TryFrom<OwnedVariant>,
    {
        let properties = Object { interface: "org.freedesktop.DBus.Properties", ..object };
        let answer = self.call(properties, "Get", &(object.interface, name)).await?;
        let value: OwnedVariant = answer.body().deserialize()?;
        T::try_from(value).map_err(|_| BusError::Unexpected(name))
    }

    async fn connection(&self) -> Result<Connection, zbus::Error> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = held.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        Ok(held.insert(Connection::system().await?).clone())
    }
}
