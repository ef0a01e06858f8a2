//! The hypervisor's symbols for dom0's `/proc/xen/xensyms`: the image carries none, so the list ends at once.

use hypercall_abi::Errno;
use hypercall_abi::platform::XenpfSymdata;

use super::Request;
use crate::guest;

/// `XENPF_get_symbol`: an empty name at index 0 is the end; `ERANGE` beyond it.
pub(super) fn get(request: &Request, mut data: XenpfSymdata) -> Result<(), Errno> {
    if data.symnum > 0 {
        return Err(Errno::ERANGE);
    }
    let room = data.namelen;
    data.namelen = 1;
    data.address = 0;
    data.r#type = 0;
    if room > 0 {
        guest::write(data.name, 0, &0)?;
    }
    request.reply(&data)
}
