package main

import (
	"encoding/json"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const ownInit = "/sbin/init"

// handOver makes the image's own init process 1. A child of ours goes on, for SSH and for what the host asks.
func handOver(config Config) {
	text, err := json.Marshal(config)
	if err != nil {
		say(err)
		return
	}
	read, write, err := os.Pipe()
	if err != nil {
		say(err)
		return
	}
	process, err := os.StartProcess("/proc/self/exe", []string{"weft-init", "ssh"}, &os.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []*os.File{read, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	read.Close()
	if err == nil {
		write.Write(text)
		process.Release()
	}
	write.Close()
	say(err)
	say(unix.Exec(ownInit, []string{ownInit}, []string{"PATH=" + defaultPath, "TERM=linux", "container=weft"}))
}

// serveBesideOwnInit: its configuration comes through its input, so that nobody finds it.
func serveBesideOwnInit() {
	var config Config
	if err := json.NewDecoder(os.Stdin).Decode(&config); err != nil {
		say(err)
		os.Exit(1)
	}
	// What was opened before is gone with process 1's program, and the ports can be opened anew.
	over := openLink(config.Channel)
	logs.sendTo(over.logs())
	server, err := newSSHServer(config)
	if err != nil {
		say(err)
		os.Exit(1)
	}
	server.listen(over, config.SSHPort)
	go reapForEver()
	stop := make(chan stopping, 8)
	control := newControl(over, func() serviceState { return serviceState{Phase: "none"} }, stop)
	control.run("running")
	<-stop
	control.run("stopping")
	unix.Kill(1, unix.SIGTERM) // busybox: reboot
	unix.Kill(1, rtmin+5)      // systemd: reboot.target (systemd(1), SIGRTMIN+5)
	select {}
}

const rtmin = unix.Signal(34) // as the C library counts: it keeps two for itself
