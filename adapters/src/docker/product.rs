//! What runs in a container. A new product is a variant here, an arm in each function, and a card in the catalogue
//! of images.

use std::net::SocketAddr;
use std::sync::Arc;

use harness::corpus::Corpus;
use harness::plan::Plan;
use harness::ports::{Effect, EnvironmentError, System};
use harness::topology::{NodeId, Role};

use super::environment;
use super::milvus::Milvus;
use super::minio::Minio;
use super::postgres::Postgres;
use super::shell::Inside;
use super::stand::Blueprint;
use super::worker::Worker;
use crate::local::command::{Told, variable};
use crate::milvus::Unsupported;
use crate::postgres::settings::{DATABASE, OPERATOR};
use crate::postgres::{Database, Node};

/// What runs in a container, asked directly, past the link.
#[derive(Debug)]
pub(super) enum Product {
    /// Role `object`.
    Object(Box<Minio>),
    /// Role `feature`.
    Feature(Box<Postgres>),
    /// Role `gpu`.
    Gpu(Box<Worker>),
    /// Role `vector`.
    Vector(Box<Milvus>),
}

impl Product {
    /// The product that plays a role, published at `addr`. `store` is the object store of its region. Nothing is
    /// started.
    ///
    /// # Errors
    /// If no product plays it yet, or it needs what the stack does not have.
    pub(super) fn of(
        id: &NodeId,
        addr: SocketAddr,
        (plan, secret): (&Plan, &str),
        store: Option<&Minio>,
    ) -> Result<Self, EnvironmentError> {
        match id.role {
            Role::Object => {
                let first = plan.topology.regions.first() == Some(&id.region);
                let takes = plan.scenario.stack.followed(Role::Object).then_some(first);
                Minio::new(addr, secret, takes)
                    .map(|made| Product::Object(Box::new(made)))
                    .map_err(|e| environment(e, "report this: it is a defect of gameday"))
            }
            Role::Feature => {
                let archive = plan.scenario.backup.incremental.contains(&Role::Feature);
                Ok(Product::Feature(Box::new(Postgres::new(addr, id.slug(), secret, archive))))
            }
            Role::Gpu => Ok(Product::Gpu(Box::new(Worker::new(addr, plan)))),
            Role::Vector => {
                let store = store.ok_or_else(|| {
                    let what = format!("{id} is a Milvus, which keeps its vectors in an object store");
                    environment(what, "add the role `object` to the scenario's stack")
                })?;
                let host = NodeId::new(&id.region, Role::Object).slug();
                Ok(Product::Vector(Box::new(Milvus::new(id, addr, store, host, plan)?)))
            }
        }
    }

    /// What it needs of a container.
    pub(super) fn blueprint(&self, image: String) -> Blueprint {
        match self {
            Product::Object(node) => node.blueprint(image),
            Product::Feature(node) => node.blueprint(image),
            Product::Gpu(node) => node.blueprint(image),
            Product::Vector(node) => node.blueprint(image),
        }
    }

    /// In words.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Product::Object(_) => "MinIO",
            Product::Feature(_) => "PostgreSQL",
            Product::Gpu(_) => "gameday's worker",
            Product::Vector(_) => "Milvus",
        }
    }

    /// What an image has to be to play its part.
    pub(super) fn wanted(&self) -> &'static str {
        match self {
            Product::Object(_) => "a MinIO whose keys are those of MINIO_ROOT_USER and MINIO_ROOT_PASSWORD",
            Product::Feature(_) => "PostgreSQL 15",
            Product::Gpu(_) => "this very program",
            Product::Vector(_) => "Milvus 2.3, the only one that gameday was tried with",
        }
    }

    /// Why it will never serve, however long it is waited for.
    pub(super) fn hopeless(&self) -> Option<&Unsupported> {
        match self {
            Product::Object(_) | Product::Feature(_) | Product::Gpu(_) => None,
            Product::Vector(node) => node.refused.get(),
        }
    }

    /// What sets the times that a drill measures, by the product's own names.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        match self {
            Product::Object(_) | Product::Feature(_) | Product::Gpu(_) => Vec::new(),
            Product::Vector(node) => node.settings(),
        }
    }

    /// What the last start took, where it is more than one number.
    pub(super) fn facts(&self) -> Vec<(String, String)> {
        match self {
            Product::Object(_) | Product::Feature(_) | Product::Gpu(_) => Vec::new(),
            Product::Vector(node) => node.facts(),
        }
    }

    /// Starts what the container does not start by itself, on an empty disk as a follower of `source`; what runs already
    /// stays.
    pub(super) async fn boot(&self, inside: Inside, source: Option<&Product>) -> Result<(), String> {
        match self {
            Product::Object(node) => {
                node.enter(inside);
                Ok(())
            }
            Product::Feature(node) => match source {
                Some(Product::Feature(source)) => node.boot(inside, Some(source)).await,
                _ => node.boot(inside, None).await,
            },
            Product::Vector(node) => {
                node.boot(inside);
                Ok(())
            }
            Product::Gpu(_) => Ok(()),
        }
    }

    /// Tries a user's operation once, from end to end, and says what was done.
    pub(super) async fn ready(&self) -> Result<String, String> {
        match self {
            Product::Object(node) => node.ready().await,
            Product::Feature(node) => node.ready().await,
            Product::Gpu(node) => node.ready().await,
            Product::Vector(node) => node.ready().await,
        }
    }

    /// Makes what its users find there from the first moment on; what is there already stays.
    pub(super) async fn provide(&self) -> Result<(), String> {
        match self {
            Product::Object(node) => node.provide().await,
            Product::Feature(_) => Ok(()),
            Product::Gpu(node) => node.provide().await,
            Product::Vector(node) => node.provide().await,
        }
    }

    /// The product as its users reach it, at the far end of a link.
    pub(super) fn system(&self, link: SocketAddr, corpus: Arc<Corpus>) -> Result<Arc<dyn System>, String> {
        match self {
            Product::Object(node) => node.system(link, corpus).map_err(|e| e.to_string()),
            Product::Feature(node) => Ok(node.system(link, corpus)),
            Product::Gpu(_) => Err("users reach workers through their driver".into()),
            Product::Vector(node) => node.system(link, corpus),
        }
    }

    /// Tells a recovery command how to enter. Who reaches the others may do all that they can.
    pub(super) fn introduce(&self, id: &NodeId, told: &mut Told) {
        let name = |what| variable(id, what);
        match self {
            Product::Object(node) => {
                let keys = node.keys();
                told.tell(name("BUCKET"), super::minio::BUCKET);
                told.tell(name("ACCESS_KEY"), &keys.access);
                told.confide(name("SECRET_KEY"), &keys.secret);
            }
            Product::Feature(node) => {
                told.tell(name("DATABASE"), DATABASE);
                told.tell(name("USER"), OPERATOR);
                told.confide(name("PASSWORD"), node.operator_password());
            }
            Product::Vector(_) => told.tell(name("COLLECTION"), super::milvus::COLLECTION),
            Product::Gpu(_) => {}
        }
    }

    /// The object store, if it is one.
    pub(super) fn object(&self) -> Result<&Minio, Effect> {
        match self {
            Product::Object(node) => Ok(node),
            other => Err(Effect::failed(format!("{} stores no objects", other.name()))),
        }
    }

    /// The vector store, if it is one.
    pub(super) fn vector(&self) -> Result<&Milvus, Effect> {
        match self {
            Product::Vector(node) => Ok(node),
            other => Err(Effect::failed(format!("{} holds no vectors", other.name()))),
        }
    }

    /// The server of features with all that is known of it, if it is one.
    pub(super) fn postgres(&self) -> Result<&Postgres, Effect> {
        match self {
            Product::Feature(node) => Ok(node),
            other => Err(Effect::failed(format!("{} holds no features", other.name()))),
        }
    }

    /// The feature store, if it is one.
    pub(super) fn feature(&self) -> Result<&Database, Effect> {
        match self {
            Product::Feature(node) => node.node().map(Node::operators).map_err(Effect::failed),
            other => Err(Effect::failed(format!("{} holds no features", other.name()))),
        }
    }
}

impl Product {
    /// The server of features, once its container is there.
    pub(super) fn server(&self) -> Result<&Node, String> {
        match self {
            Product::Feature(node) => node.node(),
            other => Err(format!("{} holds no features", other.name())),
        }
    }

    /// The worker, if it is one.
    pub(super) fn worker(&self) -> Result<&Worker, Effect> {
        match self {
            Product::Gpu(node) => Ok(node),
            other => Err(Effect::failed(format!("{} computes nothing", other.name()))),
        }
    }
}

/// A key that only this run knows.
pub(super) fn secret() -> std::io::Result<String> {
    crate::local::private::word()
}
