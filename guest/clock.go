package main

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const clockTolerance = time.Second

// setClockForward never turns it back: the host said its time before this machine started.
func setClockForward(ns int64) {
	if ns > time.Now().UnixNano() {
		setClock(ns)
	}
}

// correctClock is for what the host says now: after a pause the clock is late.
func correctClock(ns int64) {
	if off := time.Duration(ns - time.Now().UnixNano()); off > clockTolerance || off < -clockTolerance {
		setClock(ns)
	}
}

func setClock(ns int64) {
	now := unix.NsecToTimeval(ns)
	if err := unix.Settimeofday(&now); err != nil {
		say(err)
	}
}

// addEntropy gives the kernel random bytes of the host's, and credits them: nobody else ever saw them.
func addEntropy(seed []byte) {
	if len(seed) == 0 || len(seed) > 256 {
		return
	}
	device, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		say(err)
		return
	}
	defer device.Close()
	var pool struct { // struct rand_pool_info of include/uapi/linux/random.h
		bits, size int32
		data       [256]byte
	}
	pool.bits, pool.size = int32(len(seed)*8), int32(len(seed))
	copy(pool.data[:], seed)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, device.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&pool))); errno != 0 {
		say(errno)
	}
}
