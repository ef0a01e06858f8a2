//! xen_version: who the hypervisor is and what it offers. Open to every domain; the few answers that would help an
//! attacker are for privileged ones. Xen public/version.h, features.h.

use alloc::string::String;

use arch::addr::PAGE_BYTES;
use arch::build_info::{Text, build_id, text};
use arch::sync::Once;
use hypercall_abi::features::*;
use hypercall_abi::version::*;
use hypercall_abi::xen::{Hypercall, VmAssistType};
use hypercall_abi::{Errno, GuestHandle};

use crate::domain::Context;
use crate::fail::{Args, Return};
use crate::{guest, xsm};

/// The interface that this hypervisor speaks.
pub const MAJOR: u64 = 4;
/// See [`MAJOR`].
pub const MINOR: u64 = 17;
/// What follows the version: the point release whose behaviour is the model, and who answers.
const EXTRAVERSION: &str = ".7-oxen";
/// Guests that can be started: 64-bit PV. Each entry ends in a space, as tools that split the list expect.
const CAPABILITIES: &str = "xen-3.0-x86_64 ";
/// Where the hypervisor's part of every address space begins.
const VIRT_START: u64 = 0xffff_8000_0000_0000;
/// Bytes that a command line takes in the ABI (`xen_commandline_t`).
const COMMAND_LINE_BYTES: usize = 1024;
/// Stands for a text that the caller may not have.
const DENIED: &str = "<denied>";

static COMMAND_LINE: Once<String> = Once::new();

/// Keeps the options that the hypervisor was started with, for `xl info`. Called once, at boot.
pub fn set_command_line(text: &str) {
    COMMAND_LINE.call_once(|| String::from(text));
}

/// A text as the ABI has it: zeroes behind it, at least one.
fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut out = [0; N];
    let room = N.saturating_sub(1);
    for (to, from) in out.iter_mut().take(room).zip(text.bytes()) {
        *to = from;
    }
    out
}

fn compile_info() -> CompileInfo {
    CompileInfo {
        compiler: padded(text(Text::Compiler).unwrap_or("rustc")),
        compile_by: padded("oxen"),
        compile_domain: padded(""),
        compile_date: padded(text(Text::Date).unwrap_or("unavailable")),
    }
}

fn features(cx: &Context) -> u32 {
    let mut map = 1 << XENFEAT_MEMORY_OP_VNODE_SUPPORTED
        | 1 << XENFEAT_MMU_PT_UPDATE_PRESERVE_AD
        | 1 << XENFEAT_HIGHMEM_ASSIST
        | 1 << XENFEAT_GNTTAB_MAP_AVAIL_BITS
        | 1 << XENFEAT_DIRECT_MAPPED;
    if cx.domain.pv().assisted(VmAssistType::PAE_EXTENDED_CR3.0) {
        map |= 1 << XENFEAT_PAE_PGDIR_ABOVE_4GB;
    }
    if cx.domain.privileged {
        map |= 1 << XENFEAT_DOM0;
    }
    map
}

fn may(cx: &Context, command: XenVer) -> Result<(), Errno> {
    xsm::check(&cx.domain, Hypercall::XEN_VERSION, command.0, None)
}

/// `HYPERVISOR_xen_version(cmd, arg)`. `ENOSYS` for unknown commands, `EFAULT` for a bad `arg`, `EPERM` for the build
/// id if the caller is not privileged.
pub fn do_xen_version(cx: &Context, args: Args) -> Return {
    let [cmd, arg, ..] = args.0;
    let bytes = GuestHandle::<u8>::new(arg);
    match XenVer(cmd as u32) {
        XenVer::VERSION => return Ok(MAJOR << 16 | MINOR),
        XenVer::EXTRAVERSION => guest::write_bytes(
            bytes,
            &padded::<{ XEN_EXTRAVERSION_LEN as usize }>(EXTRAVERSION),
        )?,
        XenVer::COMPILE_INFO => guest::write(bytes.cast(), 0, &compile_info())?,
        XenVer::CAPABILITIES => guest::write_bytes(
            bytes,
            &padded::<{ XEN_CAPABILITIES_INFO_LEN as usize }>(CAPABILITIES),
        )?,
        XenVer::CHANGESET => guest::write_bytes(
            bytes,
            &padded::<{ XEN_CHANGESET_INFO_LEN as usize }>(
                text(Text::Changeset).unwrap_or("unavailable"),
            ),
        )?,
        XenVer::PLATFORM_PARAMETERS => {
            let parameters = PlatformParameters {
                virt_start: VIRT_START,
            };
            guest::write(bytes.cast(), 0, &parameters)?;
        }
        XenVer::GET_FEATURES => {
            let handle = bytes.cast::<FeatureInfo>();
            let mut info = guest::read(handle, 0)?;
            if info.submap_idx != 0 {
                return Err(Errno::EINVAL.into());
            }
            info.submap = features(cx);
            guest::write(handle, 0, &info)?;
        }
        XenVer::PAGESIZE => {
            // Only the null handle is well-formed: the answer is the return value.
            return if bytes.is_null() {
                Ok(PAGE_BYTES as u64)
            } else {
                Err(Errno::EINVAL.into())
            };
        }
        XenVer::GUEST_HANDLE => {
            let uuid = cx.domain.control.lock().handle;
            guest::write_bytes(bytes, &uuid)?;
        }
        XenVer::COMMANDLINE if may(cx, XenVer::COMMANDLINE).is_ok() => {
            let text = COMMAND_LINE.get().map_or("", String::as_str);
            guest::write_bytes(bytes, &padded::<COMMAND_LINE_BYTES>(text))?;
        }
        XenVer::COMMANDLINE => {
            guest::write_bytes(bytes, DENIED.as_bytes())?;
            guest::write(bytes, DENIED.len() as u64, &0)?;
        }
        XenVer::BUILD_ID => {
            may(cx, XenVer::BUILD_ID)?;
            return build_id_of_image(bytes, build_id());
        }
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}

/// Answers `XENVER_build_id`: the id's length, and into a buffer, whose first word says how long it is, the id itself.
fn build_id_of_image(bytes: GuestHandle<u8>, id: Option<[u8; 20]>) -> Return {
    let room = if bytes.is_null() {
        u32::MAX
    } else {
        guest::read(bytes.cast::<BuildId>(), 0)?.len
    };
    if room == 0 {
        return Err(Errno::EINVAL.into());
    }
    let id = id.ok_or(Errno::ENODATA)?;
    if (room as usize) < id.len() {
        return Err(Errno::ENOBUFS.into());
    }
    if !bytes.is_null() {
        let after = size_of::<BuildId>() as u64;
        guest::write_bytes(bytes.offset(after).ok_or(Errno::EFAULT)?, &id)?;
    }
    Ok(id.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests::machine::*;

    #[test]
    fn the_build_id_goes_where_there_is_room() {
        let _m = Machine::new();
        let ask = |at: u64, id| settled(build_id_of_image(GuestHandle::new(at), id));
        let id = Some([7; 20]);
        assert_eq!(ask(0, id), Ok(20));
        assert_eq!(ask(0, None), Err(Errno::ENODATA));
        for (room, answer) in [
            (0u32, Err(Errno::EINVAL)),
            (19, Err(Errno::ENOBUFS)),
            (20, Ok(20)),
        ] {
            put(ARG, 0, &room);
            assert_eq!(ask(ARG, id), answer);
        }
        assert_eq!(bytes(ARG + 4, 21)[..20], [7; 20]);
        assert_eq!(bytes(ARG + 24, 1), [DIRT]);
        assert_eq!(ask(END, id), Err(Errno::EFAULT));
    }
}
