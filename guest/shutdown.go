package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const graceOfSignals = 10 * time.Second

type stopping struct {
	grace time.Duration
}

func isNotFound(err error) bool { return errors.Is(err, exec.ErrNotFound) }

// obeySignals: what `poweroff`, `halt` and `reboot` of busybox send, Ctrl-Alt-Del, and power that fails. The monitor
// of this machine takes a restart for its end, and whether there is another life is the host's to say.
func obeySignals(stop chan<- stopping) {
	unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF)
	arrived := make(chan os.Signal, 8)
	signal.Notify(arrived, unix.SIGTERM, unix.SIGINT, unix.SIGPWR, unix.SIGUSR1, unix.SIGUSR2)
	go func() {
		for range arrived {
			select {
			case stop <- stopping{graceOfSignals}:
			default:
			}
		}
	}()
}

// endEverything leaves no process, and a clean file system.
func endEverything() {
	unix.Kill(-1, unix.SIGTERM)
	waitForNobody(2 * time.Second)
	unix.Kill(-1, unix.SIGKILL)
	waitForNobody(2 * time.Second)
	unix.Sync()
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		unix.Sync()
	}
}

func waitForNobody(patience time.Duration) {
	for end := time.Now().Add(patience); time.Now().Before(end) && othersRun("/proc"); time.Sleep(10 * time.Millisecond) {
	}
}

// othersRun: kernel threads have no program.
func othersRun(proc string) bool {
	entries, _ := os.ReadDir(proc)
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == 1 || pid == os.Getpid() {
			continue
		}
		if _, err := os.Readlink(proc + "/" + entry.Name() + "/exe"); err == nil {
			return true
		}
	}
	return false
}

func restart() {
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {}
}
