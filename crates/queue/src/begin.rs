//! The last thing before an entry is run that may have ended its process before: from here on a death is its own.

use crate::consumer::Consumer;
use crate::delivery::Delivery;
use crate::error::Result;
use crate::keys::lane_number;
use crate::queue::script;
use crate::scripts::SCRIPTS;

impl Consumer {
    /// Says that this entry runs from now on **with nothing else of its process at work** until it is settled, whatever the
    /// other workers hold: if its lease runs out after this, that counts as one crash of it. Call it for what is a
    /// [suspect](Delivery::is_suspect), and for nothing else. Safe to repeat.
    ///
    /// Returns whether the entry is still this consumer's; else somebody else runs it, or it is gone.
    pub async fn begin(&self, delivery: &Delivery) -> Result<bool> {
        // The server knows the consumer alone, and the entry may be its again as another delivery.
        if !delivery.lease().is_held() {
            return Ok(false);
        }
        let key = delivery.lease().key();
        let mut script = script(&SCRIPTS.begin, self.0.queue.keys(key.partition));
        script.arg(self.0.name.as_str()).arg(lane_number(key.lane)).arg(&key.id);
        script.arg(delivery.job_id().as_str());
        let begun: i64 = self.0.queue.link().run("begin an entry by itself", &script).await?;
        Ok(begun == 1)
    }
}
