// Weftwork's init: the first process of a microVM. It is in the initial RAM disk, so that it does not matter what the
// image holds, and never writes itself to the image's disk.
//
// It takes its configuration from the RAM disk and removes it there, makes the image's disk the root, sets up what the
// control plane chose, runs the image's command, and lets its owner in over SSH: through the machine monitor, not the
// network.
package main

import (
	"fmt"
	"os"
	"strings"
)

const configPath = "/weft.json"

func main() {
	// The kernel passes on what it does not know of its command line, so process 1 does not look at that.
	switch {
	case os.Getpid() == 1:
		boot()
	case len(os.Args) > 1:
		helper(os.Args[1])
	default:
		fmt.Fprintln(os.Stderr, "this is the init of a microVM: it runs as process 1 there")
		os.Exit(2)
	}
}

// helper is what this program does when it starts itself anew.
func helper(what string) {
	switch what {
	case "sftp":
		serveSftp()
	case "ssh":
		serveBesideOwnInit()
	default:
		fmt.Fprintln(os.Stderr, "unknown:", what)
		os.Exit(2)
	}
}

func boot() {
	mountKernelFilesystems()
	fmt.Println("weft-init: first line at", uptime(), "s")
	if onCommandLine("weft.probe") {
		fmt.Println("weft-init: probed")
		restart()
	}
	loadModules("/modules", "order")
	config, err := takeConfig(configPath)
	if config.Channel == "vsock" {
		loadModules("/modules", "order.vsock")
	}
	link := openLink(config.Channel)
	if err != nil {
		giveUp(link, "the configuration: "+err.Error())
	}
	logs.sendTo(link.logs())
	if err := enterRoot(config.Root); err != nil {
		giveUp(link, "the root file system: "+err.Error())
	}
	addEntropy(config.Entropy)
	setClockForward(config.TimeNs)
	if err := setUpNetwork(config); err != nil {
		giveUp(link, "the network: "+err.Error())
	}
	if config.OwnInit {
		handOver(config)
	}
	go reapForEver()
	server, err := newSSHServer(config)
	if err != nil {
		giveUp(link, "SSH: "+err.Error())
	}
	server.listen(link, config.SSHPort)
	service := newService(config)
	stop := make(chan stopping, 8)
	control := newControl(link, service.state, stop)
	service.changed = control.tell
	service.start()
	control.run("running")
	obeySignals(stop)
	why := <-stop
	control.run("stopping")
	service.stop(why.grace)
	endEverything()
	control.run("halted")
	control.flush()
	restart()
}

func giveUp(link link, why string) {
	fmt.Println("weft-init: failed:", why)
	tellFailure(link, why)
	restart()
}

func uptime() string {
	text, _ := os.ReadFile("/proc/uptime")
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

func onCommandLine(word string) bool {
	text, _ := os.ReadFile("/proc/cmdline")
	for _, one := range strings.Fields(string(text)) {
		if one == word {
			return true
		}
	}
	return false
}
