//! Questions about the server itself, and the life of a collection.

use milvus::proto::milvus::{
    DropAliasRequest, DropCollectionRequest, GetVersionRequest, HasCollectionRequest, RenameCollectionRequest,
};

use super::Client;
use super::error::{MilvusError, check};

/// Major and minor version that everything here was run against.
const TESTED: (u32, u32) = (2, 3);

/// A server that cannot be driven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct Unsupported {
    /// Why not.
    pub what: String,
    /// What to use instead.
    pub remedy: &'static str,
}

/// Whether a server of this version can be driven: `v2.3.5-lite`, `2.3.5`, ...
///
/// # Errors
/// With the cause and the remedy.
pub fn supported(version: &str) -> Result<(), Unsupported> {
    let numbers = version.trim().trim_start_matches('v').split(['.', '-', '+']);
    let mut numbers = numbers.map_while(|word| word.parse::<u32>().ok());
    let found = numbers.next().zip(numbers.next());
    let remedy = "use Milvus 2.3, such as milvusdb/milvus:v2.3.5 or the image of `gameday images build`";
    let what = match found {
        Some(found) if found == TESTED => return Ok(()),
        Some(found) if found < TESTED => {
            format!("Milvus {version} is too old: it has no upsert and no count")
        }
        Some(_) => format!("Milvus {version} is newer than any that gameday was tried with"),
        None => format!("a server that calls its version {version:?} is no Milvus"),
    };
    Err(Unsupported { what, remedy })
}

impl Client {
    /// What the server calls its version.
    pub async fn version(&self) -> Result<String, MilvusError> {
        let answer = self.stub.clone().get_version(GetVersionRequest {}).await?.into_inner();
        check(answer.status)?;
        Ok(answer.version)
    }

    /// Whether the metadata knows the collection.
    pub async fn exists(&self) -> Result<bool, MilvusError> {
        let request = HasCollectionRequest { collection_name: self.collection.clone(), ..Default::default() };
        let answer = self.stub.clone().has_collection(request).await?.into_inner();
        check(answer.status)?;
        Ok(answer.value)
    }

    /// Gives the collection another name, which nobody has.
    ///
    /// The server's proxy may still take the name for a collection that was dropped, and for good: a drop soon after a
    /// start does not reach it ("InvalidateCollectionMetaCache failed due to proxy service not found", seen in 2.3.5),
    /// and a renaming makes it forget the old name only. So it is made to forget the new one too.
    pub async fn rename(&self, name: &str) -> Result<(), MilvusError> {
        let (old_name, new_name) = (self.collection.clone(), name.to_owned());
        let request = RenameCollectionRequest { old_name, new_name, ..Default::default() };
        check(Some(self.stub.clone().rename_collection(request).await?.into_inner()))?;
        self.of(name).forget_name().await
    }

    /// Makes the server ask its metadata again what has this name: so begins the removal of an alias. There is none, and
    /// whether that is an error depends on the version.
    async fn forget_name(&self) -> Result<(), MilvusError> {
        let request = DropAliasRequest { alias: self.collection.clone(), ..Default::default() };
        self.stub.clone().drop_alias(request).await?;
        Ok(())
    }

    /// Removes the collection with all that is in it; one that is not there is fine.
    pub async fn drop_collection(&self) -> Result<(), MilvusError> {
        let request =
            DropCollectionRequest { collection_name: self.collection.clone(), ..Default::default() };
        check(Some(self.stub.clone().drop_collection(request).await?.into_inner()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_versions_are_refused_with_a_remedy() {
        for good in ["v2.3.5-lite", "2.3.5", "v2.3.0"] {
            assert_eq!(supported(good), Ok(()));
        }
        for (bad, why) in
            [("v2.2.16", "too old"), ("1.1.1", "too old"), ("v2.4.0", "newer"), ("3.0", "newer")]
        {
            let told = supported(bad).unwrap_err().to_string();
            assert!(told.contains(why) && told.contains("v2.3.5"), "{told}");
        }
        assert!(supported("milvus_lite-3.2.2").unwrap_err().what.contains("no Milvus"));
    }

    proptest! {
        #[test]
        fn versions_are_read_without_panic(version in ".{0,40}") {
            let _ = supported(&version);
        }
    }
}
