//! Listing what every store consists of: while all is well, and before anything is undone, before and after the restart of
//! every copy.
//!
//! Listed are the copies that users have at that moment: of each store, in every region to which a service that uses
//! it is routed; of one that no service uses, at the router's home.

use std::io;

use tokio::time::timeout;

use super::Stage;
use crate::{
    journal::{EventKind, Inventoried, When},
    scenario::WorldName,
    time::Dur,
    topology::Role,
};

/// One list may take this long.
const LIMIT: Dur = Dur::from_secs(60);

impl Stage {
    /// Lists all copies that users have. May be done again: every list counts.
    pub(super) async fn take_inventory(&self, when: When) -> io::Result<()> {
        if self.world == WorldName::Sim {
            // It models effects, never products: there is nothing that a store could consist of.
            return Ok(());
        }
        // Workers hold nothing: their job's checkpoints are objects.
        for (store, _) in self.plan.stores().into_iter().filter(|(store, _)| *store != Role::Gpu) {
            for region in self.had_by_users(store) {
                let (items, none) = match self.list(store, &region).await {
                    Ok(items) => (Some(items), None),
                    Err(why) => (None, Some(why)),
                };
                if none.is_some() {
                    self.own.vouch().await;
                }
                let taken = Inventoried { when, store, region, items, none };
                self.journal.record(EventKind::Inventoried(Box::new(taken)))?;
            }
        }
        Ok(())
    }

    /// The regions whose copy of a store users have, the writers' first if it is among them.
    fn had_by_users(&self, store: Role) -> Vec<String> {
        let routes = self.host.routes();
        let users = self.plan.services.iter().filter(|s| s.uses.contains(&store));
        let mut regions: Vec<String> = users.filter_map(|s| routes.services.get(&s.name)).cloned().collect();
        let home = routes.homes.get(&store);
        if regions.is_empty() {
            regions.extend(home.cloned());
        }
        regions.sort_by_key(|region| (Some(region) != home, region.clone()));
        regions.dedup();
        regions
    }

    async fn list(&self, store: Role, region: &str) -> Result<crate::inventory::Inventory, String> {
        let system =
            self.host.system_in(region, store).ok_or_else(|| format!("no {store} store is there"))?;
        match timeout(LIMIT.std(), system.inventory()).await {
            Ok(Ok(Some(items))) => Ok(items),
            Ok(Ok(None)) => Err("this store does not say what it consists of".into()),
            Ok(Err(e)) => Err(e.to_string()),
            Err(_) => Err(format!("no answer within {LIMIT}")),
        }
    }
}
