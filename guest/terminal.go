package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// terminal is a pair of pseudo terminals (pty(7)).
type terminal struct{ master, slave *os.File }

func openTerminal(who account, columns, rows uint32) (*terminal, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		master.Close()
		return nil, err
	}
	path := fmt.Sprint("/dev/pts/", number)
	slave, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		master.Close()
		return nil, err
	}
	opened := &terminal{master, slave}
	say(os.Chown(path, int(who.uid), -1))
	say(opened.resize(columns, rows))
	return opened, nil
}

func (one *terminal) resize(columns, rows uint32) error {
	size := &unix.Winsize{Row: uint16(rows), Col: uint16(columns)}
	return unix.IoctlSetWinsize(int(one.master.Fd()), unix.TIOCSWINSZ, size)
}

func (one *terminal) close() {
	one.master.Close()
	one.slave.Close()
}
