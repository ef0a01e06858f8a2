//! xen_version: who the hypervisor is and what it offers. Open to every domain; the few answers that would help an
//! attacker are for privileged ones. Xen public/version.h, features.h.

use alloc::string::String;

use arch::addr::PAGE_BYTES;
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
        compiler: padded(option_env!("OXEN_COMPILER").unwrap_or("rustc")),
        compile_by: padded("oxen"),
        compile_domain: padded(""),
        compile_date: padded(option_env!("OXEN_DATE").unwrap_or("unavailable")),
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
                option_env!("OXEN_CHANGESET").unwrap_or("unavailable"),
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
            if !bytes.is_null() && guest::read(bytes.cast::<BuildId>(), 0)?.len == 0 {
                return Err(Errno::EINVAL.into());
            }
            // The image carries no build id note.
            return Err(Errno::ENODATA.into());
        }
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}
