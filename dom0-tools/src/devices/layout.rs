//! Where a device is in xenstore, as libxl of Xen 4.17 lays it out, so that stock tools find what
//! we attached and we find what they attached:
//!
//! * the frontend's directory, owned by the guest, readable by the backend's domain;
//! * the backend's directory, owned by its domain, readable by the guest;
//! * `/libxl/DOMID/device/...`, which neither may write: what the tools trust.

use crate::xenstore::{self, Access, Client, Perm, Transaction};

/// A kind of device, as frontends call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A disk.
    Vbd,
    /// A network interface.
    Vif,
}

impl Kind {
    /// The directory's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vbd => "vbd",
            Self::Vif => "vif",
        }
    }
}

/// A device of a domain, and where its backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What the frontend is.
    pub kind: Kind,
    /// What the backend is: `vbd`, `qdisk`, `vif`.
    pub backend_kind: String,
    /// The domain that uses the device.
    pub domid: u32,
    /// The domain that serves it.
    pub backend_domid: u32,
    /// Its number.
    pub devid: u32,
}

/// Names and values to write.
pub type Entries = Vec<(&'static str, String)>;

impl Device {
    /// The frontend's directory.
    #[must_use]
    pub fn frontend(&self) -> String {
        let Self { domid, devid, .. } = self;
        format!("/local/domain/{domid}/device/{}/{devid}", self.kind.name())
    }

    /// The backend's directory.
    #[must_use]
    pub fn backend(&self) -> String {
        let Self {
            backend_kind,
            domid,
            backend_domid,
            devid,
            ..
        } = self;
        format!("/local/domain/{backend_domid}/backend/{backend_kind}/{domid}/{devid}")
    }

    /// The tools' own directory.
    #[must_use]
    pub fn tools(&self) -> String {
        format!(
            "/libxl/{}/device/{}/{}",
            self.domid,
            self.kind.name(),
            self.devid
        )
    }

    /// The backend's directory from its domain's, as scripts get it.
    #[must_use]
    pub fn backend_in_domain(&self) -> String {
        format!(
            "backend/{}/{}/{}",
            self.backend_kind, self.domid, self.devid
        )
    }

    /// Where the kernel's backend leaves what went wrong with the device.
    #[must_use]
    pub fn troubles(&self) -> String {
        let inside = self.backend_in_domain();
        format!("/local/domain/{}/error/{inside}", self.backend_domid)
    }

    /// The device that the tools' directory tells of; `None` without one, or if it is not one.
    ///
    /// # Errors
    /// Those of xenstore.
    pub fn find(
        store: &Client,
        domid: u32,
        kind: Kind,
        devid: u32,
    ) -> Result<Option<Self>, xenstore::Error> {
        let path = format!("/libxl/{domid}/device/{}/{devid}/backend", kind.name());
        let backend = store.try_read_string(&path)?;
        Ok(backend.and_then(|backend| Self::of_backend(kind, &backend, domid, devid)))
    }

    /// All devices of a kind that a domain has, by number.
    ///
    /// # Errors
    /// Those of xenstore.
    pub fn list(store: &Client, domid: u32, kind: Kind) -> Result<Vec<Self>, xenstore::Error> {
        let names = store.try_list(&format!("/libxl/{domid}/device/{}", kind.name()))?;
        let mut found = Vec::new();
        for devid in names.iter().filter_map(|name| name.parse().ok()) {
            found.extend(Self::find(store, domid, kind, devid)?);
        }
        found.sort_by_key(|device| device.devid);
        Ok(found)
    }

    /// Reads `/local/domain/N/backend/KIND/DOMID/DEVID`; nothing else is taken for a backend.
    fn of_backend(kind: Kind, path: &str, domid: u32, devid: u32) -> Option<Self> {
        let (backend_domid, rest) = path.strip_prefix("/local/domain/")?.split_once('/')?;
        let backend_kind = rest
            .strip_prefix("backend/")?
            .strip_suffix(&format!("/{domid}/{devid}"))?;
        let known = match kind {
            Kind::Vbd => matches!(backend_kind, "vbd" | "qdisk"),
            Kind::Vif => backend_kind == "vif",
        };
        known.then(|| {
            Some(Self {
                kind,
                backend_kind: backend_kind.to_owned(),
                domid,
                backend_domid: backend_domid.parse().ok()?,
                devid,
            })
        })?
    }

    /// Writes the device. `read_only` are entries of the frontend's that the guest may not change.
    ///
    /// # Errors
    /// Those of xenstore.
    pub fn write(
        &self,
        tx: &Transaction<'_>,
        back: &Entries,
        front: &Entries,
        read_only: &Entries,
    ) -> Result<(), xenstore::Error> {
        let (frontend, backend) = (self.frontend(), self.backend());
        let guests = [
            Perm::new(self.domid, Access::None),
            Perm::new(self.backend_domid, Access::Read),
        ];
        let backends = [
            Perm::new(self.backend_domid, Access::None),
            Perm::new(self.domid, Access::Read),
        ];
        self.write_record(tx, back)?;

        tx.rm_if_present(&frontend)?;
        tx.mkdir(&frontend)?;
        tx.set_perms(&frontend, &guests)?;
        tx.write(&format!("{frontend}/backend"), &backend)?;
        for (entries, perms) in [(front, &guests), (read_only, &backends)] {
            for (name, value) in entries {
                let path = format!("{frontend}/{name}");
                tx.write(&path, value)?;
                tx.set_perms(&path, perms)?;
            }
        }

        // A device of that number before this one may have left them.
        tx.rm_if_present(&self.troubles())?;
        tx.rm_if_present(&backend)?;
        tx.mkdir(&backend)?;
        tx.set_perms(&backend, &backends)?;
        tx.write(&format!("{backend}/frontend"), &frontend)?;
        for (name, value) in back {
            tx.write(&format!("{backend}/{name}"), value)?;
        }
        Ok(())
    }

    /// Writes what only the tools see: they do not trust backends of other domains to keep what
    /// they will want to know.
    ///
    /// # Errors
    /// Those of xenstore.
    pub fn write_record(
        &self,
        tx: &Transaction<'_>,
        back: &Entries,
    ) -> Result<(), xenstore::Error> {
        let tools = self.tools();
        tx.rm_if_present(&tools)?;
        tx.write(&format!("{tools}/frontend"), self.frontend())?;
        tx.write(&format!("{tools}/backend"), self.backend())?;
        for (name, value) in back {
            tx.write(&format!("{tools}/{name}"), value)?;
        }
        Ok(())
    }

    /// Removes all of the device, and the directories above it that this leaves empty.
    ///
    /// # Errors
    /// Those of xenstore.
    pub fn erase(&self, store: &Client) -> Result<(), xenstore::Error> {
        store.transaction(|tx| {
            remove_upwards(tx, &self.frontend(), 2)?;
            remove_upwards(tx, &self.tools(), 3)?;
            remove_upwards(tx, &self.troubles(), 3)?;
            remove_upwards(tx, &self.backend(), 3)
        })
    }
}

/// Removes a node, and up to `levels` directories above it as long as they are empty.
fn remove_upwards(tx: &Transaction<'_>, path: &str, levels: usize) -> Result<(), xenstore::Error> {
    tx.rm_if_present(path)?;
    let mut path = path;
    for _ in 0..levels {
        let Some((parent, _)) = path.rsplit_once('/') else {
            break;
        };
        if !tx.try_list(parent)?.is_empty() {
            break;
        }
        tx.rm_if_present(parent)?;
        path = parent;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_libxl() {
        let device = Device {
            kind: Kind::Vbd,
            backend_kind: "qdisk".to_owned(),
            domid: 7,
            backend_domid: 0,
            devid: 51712,
        };
        assert_eq!(device.frontend(), "/local/domain/7/device/vbd/51712");
        assert_eq!(device.backend(), "/local/domain/0/backend/qdisk/7/51712");
        assert_eq!(device.tools(), "/libxl/7/device/vbd/51712");
        let found = Device::of_backend(Kind::Vbd, &device.backend(), 7, 51712);
        assert_eq!(found, Some(device));
    }

    #[test]
    fn a_backend_elsewhere_is_none() {
        for path in [
            "",
            "/local/domain/0/backend/vbd/8/51712",
            "/local/domain/0/backend/console/7/51712",
            "/local/domain/x/backend/vbd/7/51712",
            "/local/domain/0/device/vbd/7/51712",
        ] {
            assert_eq!(
                Device::of_backend(Kind::Vbd, path, 7, 51712),
                None,
                "{path}"
            );
        }
    }
}
