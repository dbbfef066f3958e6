package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	rootPatience  = 10 * time.Second
	ext4ResizeFS  = 0x40086610 // EXT4_IOC_RESIZE_FS, include/uapi/linux/ext4.h
	blockSizeEXT4 = 4096
	plain         = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
)

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, target, kind, flags, data); err != nil && err != unix.EBUSY {
		return fmt.Errorf("mounting %s: %w", target, err)
	}
	return nil
}

// say tells of what is not as it should be and does not keep the machine from working.
func say(err error) {
	if err != nil {
		fmt.Println("weft-init:", err)
	}
}

func mountKernelFilesystems() {
	say(mount("proc", "/proc", "proc", plain, ""))
	say(mount("sysfs", "/sys", "sysfs", plain, ""))
	say(mount("dev", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"))
}

// loadModules loads what a file of the folder lists, dependencies first.
func loadModules(folder, list string) {
	order, _ := os.ReadFile(folder + "/" + list)
	for _, name := range strings.Fields(string(order)) {
		file, err := os.Open(folder + "/" + name)
		if err != nil {
			say(err)
			continue
		}
		if err := unix.FinitModule(int(file.Fd()), "", 0); err != nil && err != unix.EEXIST {
			say(fmt.Errorf("module %s: %w", name, err))
		}
		file.Close()
	}
}

// enterRoot makes the disk the root, and frees the memory that the RAM disk took.
func enterRoot(device string) error {
	const root = "/newroot"
	for deadline := time.Now().Add(rootPatience); ; time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(device); err == nil {
			break
		} else if time.Now().After(deadline) {
			return fmt.Errorf("%s did not appear", device)
		}
	}
	if err := mount(device, root, "ext4", unix.MS_NOATIME, ""); err != nil {
		return err
	}
	say(fillDevice(device, root))
	for _, folder := range []string{"proc", "sys", "dev"} {
		if err := os.MkdirAll(root+"/"+folder, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("/"+folder, root+"/"+folder, "", unix.MS_MOVE, ""); err != nil {
			return err
		}
	}
	freeRAMDisk("/")
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	mountTheRest()
	return nil
}

// fillDevice grows the file system to its device, which is larger when the machine was given more than the image has.
func fillDevice(device, mounted string) error {
	bytes, err := sizeOf(device)
	if err != nil {
		return err
	}
	var there unix.Statfs_t
	if err := unix.Statfs(mounted, &there); err != nil {
		return err
	}
	blocks := uint64(bytes / blockSizeEXT4)
	if blocks < there.Blocks+there.Blocks/8 {
		return nil
	}
	folder, err := os.Open(mounted)
	if err != nil {
		return err
	}
	defer folder.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, folder.Fd(), ext4ResizeFS, uintptr(unsafe.Pointer(&blocks))); errno != 0 {
		return fmt.Errorf("growing the root file system: %w", errno)
	}
	return nil
}

func sizeOf(device string) (int64, error) {
	file, err := os.Open(device)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return file.Seek(0, 2)
}

// freeRAMDisk removes the files of the RAM disk: its memory is the guest's.
func freeRAMDisk(root string) {
	for _, name := range []string{"modules", "init", "weft.json"} {
		os.RemoveAll(filepath.Join(root, name))
	}
}

func mountTheRest() {
	say(mount("devpts", "/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "ptmxmode=0666,mode=0620,gid=5"))
	say(mount("shm", "/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"))
	say(mount("run", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"))
	say(mount("cgroup2", "/sys/fs/cgroup", "cgroup2", plain, ""))
	if err := os.MkdirAll("/tmp", 0o1777); err == nil {
		os.Chmod("/tmp", 0o777|os.ModeSticky)
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		os.Symlink(target, "/dev/"+name)
	}
}
