//! The dyno's file system, put together in a mount namespace of the shim's own.
//!
//! Everything that needs the host's privileges is mounted here; the dyno's first process finds it
//! ready and only adds `/proc`. Paths inside that a layer could have made are walked without
//! following symbolic links, because layers come from outside. Read [`prepare`] first.

mod image;

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{PermissionsExt, chown, lchown, symlink},
    },
    path::{Component, Path, PathBuf},
};

use shim::{
    files,
    fixtures::{DEV, DEVICE_DIRECTORIES, DEVICE_LINKS, DEVICES, SYS},
    start::{Access, Bind, Identity, Root, StartRequest, Step, Tmp},
};

use crate::{
    failure::{At, Failure},
    host_root,
    ids::{IdMap, capture_map, layer_map},
    sys,
    trace::Trace,
};

/// Mount flags of file systems that hold no devices and grant no privileges.
const PLAIN: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV;
/// The same as mount attributes.
const PLAIN_ATTRIBUTES: u64 = sys::ATTR_NO_SUID | sys::ATTR_NO_DEV;
/// Most bytes in `/run`.
const RUN_BYTES: u64 = 16 << 20;

/// Mounts everything but `/proc`, of the dyno's cgroup after `await_cgroup`. Returns the root's path,
/// in the caller's mount namespace, which must be private.
pub(crate) fn prepare(
    request: &StartRequest,
    trace: &mut Trace,
    await_cgroup: impl FnOnce() -> Result<(), Failure>,
) -> Result<PathBuf, Failure> {
    let scratch = request.directory.join(files::MOUNTS);
    let assembly = Assembly {
        directory: &request.directory,
        identity: request.identity,
        root_directory: scratch.join("root"),
        scratch,
    };
    tmpfs(&assembly.scratch, "mode=0700,size=4m").at(Step::Directory)?;
    // Overlays are named by paths relative to here: options are a page long at most.
    std::env::set_current_dir(&assembly.scratch).at(Step::Directory)?;
    trace.mark(Step::Directory);
    let owners = if request.identity.is_own() {
        None
    } else {
        Some(IdMap::new(&layer_map(request.identity)).at(Step::Identity)?)
    };
    let owners = owners.as_ref();
    trace.mark(Step::Identity);
    if request.root.is_image {
        assembly.show_image(request, owners, trace)?;
    } else {
        assembly.show_stack(&request.root, owners, trace)?;
    }
    await_cgroup()?;
    trace.mark(Step::Cgroup);
    for bind in &request.root.binds {
        let bound = assembly.bind(bind, owners);
        if request.root.is_image && image::may_lack(&bind.target) {
            continue;
        }
        bound.at(Step::Binds)?;
    }
    trace.mark(Step::Binds);
    Ok(assembly.root_directory)
}

/// Keeps what this process mounts from everybody else.
pub(crate) fn make_private() -> io::Result<()> {
    let private = libc::MS_REC | libc::MS_PRIVATE;
    sys::mount("", Path::new("/"), "", private, "")
}

/// Takes away what a start or a run leaves in other places than the dyno's directory.
pub(crate) fn clean_capture(work: Option<&Path>) {
    if let Some(work) = work {
        // Best effort: the engine removes what is left when it forgets the dyno.
        drop(fs::remove_dir_all(work));
    }
}

/// Takes away what the start leaves in the dyno's directory and nobody needs: the overlay's mark for
/// who would use its directories again after a crash of the host, which nobody does.
pub(crate) fn clean_marks(request: &StartRequest) {
    if request.root.capture.is_none() {
        let mark = request.directory.join(files::WORK).join("work/incompat");
        // In directories that we have made: empty, unless a kernel puts more there one day.
        drop(fs::remove_dir(mark.join("volatile")));
        drop(fs::remove_dir(mark));
    }
}

/// Puts what an earlier run wrote out of the way of the next.
pub(crate) fn clear_writable(request: &StartRequest, restarts: u64) {
    for name in [files::UPPER, files::WORK, files::TMP] {
        let path = request.directory.join(name);
        let old = path.with_extension(restarts.to_string());
        // What cannot be removed, or is not there at all, does not keep the dyno from a fresh start.
        drop(fs::rename(&path, &old).and_then(|()| fs::remove_dir_all(old)));
    }
}

/// Where the overlay over a capture has its scratch directory: beside it, on the same disk.
pub(crate) fn capture_work(request: &StartRequest) -> Option<PathBuf> {
    let capture = request.root.capture.as_deref()?;
    let mut name = OsStr::new(".work-").to_owned();
    name.push(request.directory.file_name()?);
    Some(capture.parent()?.join(name))
}

struct Assembly<'request> {
    directory: &'request Path,
    identity: Identity,
    scratch: PathBuf,
    root_directory: PathBuf,
}

impl Assembly<'_> {
    fn show_stack(
        &self,
        root: &Root,
        owners: Option<&IdMap>,
        trace: &mut Trace,
    ) -> Result<(), Failure> {
        self.mount_stack(root, owners).at(Step::Stack)?;
        trace.mark(Step::Stack);
        let lowers = self.mount_layers(&root.layers, owners).at(Step::Layers)?;
        trace.mark(Step::Layers);
        self.mount_app(root, &lowers).at(Step::App)?;
        trace.mark(Step::App);
        self.mount_system(root, owners).at(Step::SystemMounts)?;
        trace.mark(Step::SystemMounts);
        Ok(())
    }

    fn mount_stack(&self, root: &Root, owners: Option<&IdMap>) -> io::Result<()> {
        fs::create_dir(&self.root_directory)?;
        let attributes = PLAIN_ATTRIBUTES | sys::ATTR_READ_ONLY;
        if root.is_host {
            tmpfs(&self.root_directory, "mode=0755,size=64k")?;
            return host_root::show(&root.stack, &self.root_directory, attributes);
        }
        show(&root.stack, &self.root_directory, attributes, owners)
    }

    /// Returns the lower directories as an overlay wants them, topmost first.
    fn mount_layers(&self, layers: &[PathBuf], owners: Option<&IdMap>) -> io::Result<String> {
        let mut lowers = Vec::new();
        for (number, layer) in layers.iter().enumerate() {
            let name = number.to_string();
            let place = self.scratch.join(&name);
            fs::create_dir(&place)?;
            show(
                layer,
                &place,
                PLAIN_ATTRIBUTES | sys::ATTR_READ_ONLY,
                owners,
            )?;
            lowers.insert(0, name);
        }
        if lowers.is_empty() {
            fs::create_dir(self.scratch.join("none"))?;
            lowers.push("none".to_owned());
        }
        Ok(lowers.join(":"))
    }

    fn mount_app(&self, root: &Root, lowers: &str) -> io::Result<()> {
        let app = self.inside("app");
        let (upper, work, redirect) = if let Some(capture) = &root.capture {
            let place = self.scratch.join("upper");
            fs::create_dir(&place)?;
            let parent = capture.parent().ok_or(io::ErrorKind::InvalidInput)?;
            let work = format!(".work-{}", name_of(self.directory)?);
            fs::create_dir(parent.join(&work))?;
            let owner = Some(self.identity.layer_owner);
            chown(capture, owner, owner)?;
            let owners = if self.identity.is_own() {
                None
            } else {
                Some(IdMap::new(&capture_map(self.identity))?)
            };
            show(parent, &place, PLAIN_ATTRIBUTES, owners.as_ref())?;
            // A directory renamed in a layer must not refer to the layers that were below it.
            (name_of(capture)?, work, "off")
        } else {
            return self.mount_writable(&app, lowers, self.identity.dyno());
        };
        self.mount_overlay(&app, lowers, (&upper, &work, redirect))
    }

    /// Lays what the dyno writes, which goes with it, over the lower directories.
    fn mount_writable(&self, target: &Path, lowers: &str, owner: u32) -> io::Result<()> {
        let place = self.scratch.join("upper");
        fs::create_dir(&place)?;
        for name in [files::UPPER, files::WORK] {
            // The engine may have made them beforehand, empty.
            match fs::create_dir(self.directory.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(error);
                }
                _ => {}
            }
        }
        chown(self.directory.join(files::UPPER), Some(owner), Some(owner))?;
        show(self.directory, &place, PLAIN_ATTRIBUTES, None)?;
        self.mount_overlay(target, lowers, (files::UPPER, files::WORK, "on"))
    }

    fn mount_overlay(
        &self,
        target: &Path,
        lowers: &str,
        (upper, work, redirect): (&str, &str, &str),
    ) -> io::Result<()> {
        let redirect = if self.identity.is_own() {
            // An ordinary user's overlays keep notes as the user's own attributes, and no redirects.
            "userxattr".to_owned()
        } else {
            format!("redirect_dir={redirect},metacopy=off")
        };
        let options = format!(
            "lowerdir={lowers},upperdir=upper/{},workdir=upper/{},{redirect},\
             index=off,xino=off,volatile",
            escape(upper),
            escape(work)
        );
        sys::mount("overlay", target, "overlay", PLAIN, &options)
    }

    fn mount_devices(&self, root: &Root, owners: Option<&IdMap>) -> io::Result<()> {
        match &root.fixtures {
            Some(fixtures) => self.show_fixtures(fixtures, owners)?,
            None => self.make_dev()?,
        }
        self.mount_in_dev(root.shared_memory_bytes)
    }

    fn mount_system(&self, root: &Root, owners: Option<&IdMap>) -> io::Result<()> {
        let (base, dyno) = (self.identity.system(), self.identity.dyno());
        self.mount_devices(root, owners)?;
        let run = format!("mode=0755,size={RUN_BYTES},uid={dyno},gid={dyno}");
        tmpfs(&self.inside("run"), &run)?;
        match root.tmp {
            Tmp::Memory(bytes) => {
                let options = format!("mode=1777,size={bytes},uid={base},gid={base}");
                tmpfs(&self.inside("tmp"), &options)?;
            }
            Tmp::Disk => {
                let place = self.directory.join(files::TMP);
                fs::create_dir(&place)?;
                fs::set_permissions(&place, Permissions::from_mode(0o1777))?;
                chown(&place, Some(base), Some(base))?;
                show(&place, &self.inside("tmp"), PLAIN_ATTRIBUTES, None)?;
            }
        }
        let etc = self.scratch.join("etc");
        fs::create_dir(&etc)?;
        chown(&etc, Some(base), Some(base))?;
        for (name, content) in &root.etc {
            let path = etc.join(name);
            if path.parent() != Some(&etc) {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            fs::write(&path, content)?;
            chown(&path, Some(base), Some(base))?;
        }
        // A file of its own would be a page of memory.
        let hostname = etc.join("hostname");
        symlink("/proc/sys/kernel/hostname", &hostname)?;
        lchown(&hostname, Some(base), Some(base))?;
        let flags = PLAIN | libc::MS_RDONLY;
        sys::mount(
            "overlay",
            &self.inside("etc"),
            "overlay",
            flags,
            "lowerdir=etc:root/etc",
        )
    }

    /// Shows `/dev` and `/sys` as they are for all dynos.
    fn show_fixtures(&self, fixtures: &Path, owners: Option<&IdMap>) -> io::Result<()> {
        let attributes = sys::ATTR_READ_ONLY | sys::ATTR_NO_SUID;
        let dev = sys::open_tree(&fixtures.join(DEV), false)?;
        // The host's directory may lie where there are no devices.
        sys::allow_devices(dev.as_fd())?;
        let owner_map = owners.map(AsFd::as_fd);
        sys::set_mount_attributes(dev.as_fd(), attributes | sys::ATTR_NO_EXEC, owner_map)?;
        sys::move_mount(dev.as_fd(), File::open(self.inside(DEV))?.as_fd())?;
        let attributes = PLAIN_ATTRIBUTES | sys::ATTR_READ_ONLY;
        show(&fixtures.join(SYS), &self.inside(SYS), attributes, owners)
    }

    /// Makes a `/dev` of its own.
    fn make_dev(&self) -> io::Result<()> {
        let base = self.identity.system();
        let dev = self.inside(DEV);
        let flags = libc::MS_NOSUID | libc::MS_NOEXEC;
        let options = format!("mode=0755,size=64k,uid={base},gid={base}");
        sys::mount("tmpfs", &dev, "tmpfs", flags, &options)?;
        for (name, major, minor) in DEVICES {
            let path = dev.join(name);
            if self.identity.is_own() {
                File::create(&path)?;
                let host = Path::new("/dev").join(name);
                show(&host, &path, sys::ATTR_NO_SUID, None)?;
                continue;
            }
            sys::make_device(&path, major, minor)?;
            fs::set_permissions(&path, Permissions::from_mode(0o666))?;
        }
        for (name, target) in DEVICE_LINKS {
            symlink(target, dev.join(name))?;
        }
        DEVICE_DIRECTORIES
            .iter()
            .try_for_each(|name| fs::create_dir(dev.join(name)))
    }

    fn mount_in_dev(&self, shared_memory_bytes: u64) -> io::Result<()> {
        let dev = self.inside(DEV);
        let flags = libc::MS_NOSUID | libc::MS_NOEXEC;
        let group = if self.identity.is_own() {
            String::new()
        } else {
            format!(",gid={}", self.identity.system() + 5)
        };
        let options = format!("ptmxmode=0666,mode=0620{group}");
        sys::mount("devpts", &dev.join("pts"), "devpts", flags, &options)?;
        let flags = PLAIN | libc::MS_NOEXEC;
        let options = format!("mode=1777,size={shared_memory_bytes}");
        sys::mount("tmpfs", &dev.join("shm"), "tmpfs", flags, &options)
    }

    fn bind(&self, bind: &Bind, owners: Option<&IdMap>) -> io::Result<()> {
        let is_directory = fs::metadata(&bind.source)?.is_dir();
        let target = self.place_for(&bind.target, is_directory)?;
        let (attributes, owners) = match bind.access {
            Access::ReadWrite => (0, owners),
            Access::ReadOnly => (sys::ATTR_READ_ONLY, owners),
            Access::Unmapped => (sys::ATTR_READ_ONLY, None),
        };
        show_at(&bind.source, &target, PLAIN_ATTRIBUTES | attributes, owners)
    }

    /// The entry at `target` inside, made where it is missing.
    fn place_for(&self, target: &Path, is_directory: bool) -> io::Result<OwnedFd> {
        let refused = || io::Error::from_raw_os_error(libc::EINVAL);
        let names: Vec<&OsStr> = target
            .components()
            .skip(1)
            .map(|component| match component {
                Component::Normal(name) => Ok(name),
                _ => Err(refused()),
            })
            .collect::<io::Result<_>>()?;
        if !target.is_absolute() || names.is_empty() {
            return Err(refused());
        }
        // What is made on the way belongs to the dyno, but not where it only looks at the system.
        let is_system = target.starts_with("/sys");
        let owner = if is_system {
            self.identity.system()
        } else {
            self.identity.dyno()
        };
        let mut place = OwnedFd::from(File::open(&self.root_directory)?);
        for (depth, name) in names.iter().enumerate() {
            let is_directory = is_directory || depth + 1 < names.len();
            place = match sys::open_entry(place.as_fd(), name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.make_entry(place, name, is_directory, owner)?
                }
                other => other?,
            };
        }
        Ok(place)
    }

    fn make_entry(
        &self,
        parent: OwnedFd,
        name: &OsStr,
        is_directory: bool,
        owner: u32,
    ) -> io::Result<OwnedFd> {
        let make = |parent: &OwnedFd| {
            if is_directory {
                sys::make_directory(parent.as_fd(), name)
            } else {
                sys::make_file(parent.as_fd(), name)
            }
        };
        let parent = match make(&parent) {
            Err(error) if error.raw_os_error() == Some(libc::EROFS) => {
                let parent = self.cover(&parent)?;
                make(&parent)?;
                parent
            }
            other => other.map(|()| parent)?,
        };
        let made = sys::open_entry(parent.as_fd(), name)?;
        match chown(descriptor_path(&made), Some(owner), Some(owner)) {
            // Over a capture only the layer owner and root exist, and root's own will do.
            Err(error) if error.raw_os_error() != Some(libc::EOVERFLOW) => Err(error),
            _ => Ok(made),
        }
    }

    /// Lays something writable over an empty directory of the stack.
    fn cover(&self, directory: &OwnedFd) -> io::Result<OwnedFd> {
        let path = descriptor_path(directory);
        if fs::read_dir(&path)?.next().is_some() {
            return Err(io::Error::from_raw_os_error(libc::EROFS));
        }
        let base = self.identity.system();
        let real = fs::read_link(&path)?;
        tmpfs(&path, &format!("mode=0755,size=64k,uid={base},gid={base}"))?;
        Ok(File::open(real)?.into())
    }

    fn inside(&self, name: &str) -> PathBuf {
        self.root_directory.join(name)
    }
}

fn tmpfs(target: &Path, options: &str) -> io::Result<()> {
    sys::mount("tmpfs", target, "tmpfs", PLAIN, options)
}

/// Shows the host's `source` at `target` with the given attributes and owners.
fn show(source: &Path, target: &Path, attributes: u64, owners: Option<&IdMap>) -> io::Result<()> {
    show_at(source, &File::open(target)?.into(), attributes, owners)
}

fn show_at(
    source: &Path,
    target: &OwnedFd,
    attributes: u64,
    owners: Option<&IdMap>,
) -> io::Result<()> {
    let tree = sys::open_tree(source, false)?;
    sys::set_mount_attributes(tree.as_fd(), attributes, owners.map(AsFd::as_fd))?;
    sys::move_mount(tree.as_fd(), target.as_fd())
}

fn descriptor_path(descriptor: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
}

fn name_of(path: &Path) -> io::Result<String> {
    let name = path.file_name().and_then(OsStr::to_str);
    Ok(name.ok_or(io::ErrorKind::InvalidInput)?.to_owned())
}

/// A name as overlay options take it.
fn escape(name: &str) -> String {
    let mut escaped = String::new();
    for character in name.chars() {
        if matches!(character, '\\' | ',' | ':') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlay_options_are_escaped() {
        assert_eq!(escape("a:b,c\\d"), "a\\:b\\,c\\\\d");
    }
}
