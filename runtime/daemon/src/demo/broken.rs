use outflow_api::{Fault, LaneId};
use outflow_catalogue::Order;
use outflow_driver::{Steering, Summary};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// One of the larger merchants.
const MERCHANT: u32 = outflow_demo::FIRST_MERCHANT + 9;
const CONNECTOR: &str = "marketplace";

/// A merchant whose destination is broken on purpose, a file where its folder should be, and mended half way: the
/// others must not notice, and it must get everything in the end.
pub struct Broken {
    place: PathBuf,
    mend_at: u64,
    is_broken: bool,
}

impl Broken {
    /// A later start finds it mended, and leaves it so.
    pub fn open(folder: &Path, mend_at: u64) -> io::Result<Broken> {
        let folder = folder.join("merchants");
        let place = folder.join(MERCHANT.to_string());
        fs::create_dir_all(&folder)?;
        if !place.exists() {
            fs::write(&place, "a file where a folder should be: this merchant's destination is broken on purpose\n")?;
            println!("The destination of merchant {MERCHANT} is broken on purpose, and will be mended half way.");
        }
        let is_broken = place.is_file();
        Ok(Broken { place, mend_at, is_broken })
    }

    pub fn mend_at(&self) -> u64 {
        self.mend_at
    }

    pub fn told(&self, summary: &Summary) -> String {
        let parked = summary.shards.values().flat_map(|shard| &shard.parked);
        let code = parked.filter(|lane| lane.connector == CONNECTOR).map(|lane| &lane.code).next();
        code.map_or_else(String::new, |code| format!("   merchant {MERCHANT} is parked: {code}"))
    }

    /// As an operator does it: mends the destination, and says that it may be tried again.
    pub async fn mend(&mut self, steering: &Steering) -> Result<(), Fault> {
        if !self.is_broken {
            return Ok(());
        }
        let failed = |error: io::Error| Fault::halt("demo-not-mended", self.place.display().to_string()).because(error);
        fs::remove_file(&self.place).map_err(failed)?;
        self.is_broken = false;
        println!("Merchant {MERCHANT} is mended, and catches up.");
        if let Some(lane) = lane(steering)? {
            let orders = vec![Order::Resume { lane: lane.0 }];
            steering.order(format!("demo-mends-{}", self.mend_at), orders).await?;
        }
        Ok(())
    }

    pub async fn is_served(&self, steering: &Steering) -> bool {
        let (Ok(Some(lane)), Ok(states)) = (lane(steering), steering.lanes().await) else { return true };
        !states.iter().any(|state| state.lane == lane.0 && (state.parked.is_some() || state.owed > 0))
    }
}

fn lane(steering: &Steering) -> Result<Option<LaneId>, Fault> {
    let configuration = steering.configuration()?;
    let catalogue = configuration.catalogue();
    let routes = catalogue.routes(CONNECTOR);
    let own = routes.and_then(|routes| routes.merchant(MERCHANT.to_string().as_bytes()).last().map(|lane| lane.lane));
    Ok(own)
}
