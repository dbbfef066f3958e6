package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const nicPatience = 5 * time.Second

func setUpNetwork(config Config) error {
	if err := unix.Sethostname([]byte(config.Hostname)); err != nil {
		return err
	}
	if err := bringUp("lo", "127.0.0.1/8", "", 0); err != nil {
		return err
	}
	for _, nic := range config.Nics {
		name, err := interfaceOf(nic.Mac)
		if err != nil {
			return err
		}
		if err := bringUp(name, nic.Address, nic.Gateway, nic.MTU); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	say(writeFile("/etc/hostname", config.Hostname+"\n"))
	say(writeFile("/etc/resolv.conf", resolvConf(config)))
	before, _ := os.ReadFile("/etc/hosts")
	say(writeFile("/etc/hosts", hosts(string(before), config)))
	return nil
}

func resolvConf(config Config) string {
	var text strings.Builder
	if config.Domain != "" {
		fmt.Fprintf(&text, "search %s\n", config.Domain)
	}
	for _, server := range config.DNS {
		fmt.Fprintf(&text, "nameserver %s\n", server)
	}
	return text.String()
}

const hostsMark = " # weft"

// hosts is the image's own file, with our lines in the place of those of an earlier boot.
func hosts(before string, config Config) string {
	var text strings.Builder
	local := false
	for _, line := range strings.Split(strings.TrimRight(before, "\n"), "\n") {
		if line != "" && !strings.HasSuffix(line, hostsMark) {
			text.WriteString(line + "\n")
			local = local || strings.HasPrefix(line, "127.0.0.1")
		}
	}
	if !local {
		text.WriteString("127.0.0.1 localhost" + hostsMark + "\n")
	}
	address := "127.0.1.1"
	if len(config.Nics) > 0 {
		address, _, _ = strings.Cut(config.Nics[0].Address, "/")
	}
	names := config.Hostname
	if config.Domain != "" {
		names = config.Hostname + "." + config.Domain + " " + names
	}
	text.WriteString(address + " " + names + hostsMark + "\n")
	return text.String()
}

// writeFile puts a file in the place of whatever is there: images have links to what is not there yet.
func writeFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	os.Remove(path)
	return os.WriteFile(path, []byte(text), 0o644)
}

func interfaceOf(mac string) (string, error) {
	for deadline := time.Now().Add(nicPatience); ; time.Sleep(2 * time.Millisecond) {
		there, _ := net.Interfaces()
		for _, one := range there {
			if strings.EqualFold(one.HardwareAddr.String(), mac) {
				return one.Name, nil
			}
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("no card has the MAC %s", mac)
		}
	}
}

func bringUp(name, cidr, gateway string, mtu int) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	ip, network, err := net.ParseCIDR(cidr)
	if err != nil {
		return err
	}
	if mtu > 0 {
		if err := change(socket, name, unix.SIOCSIFMTU, func(card *unix.Ifreq) error { card.SetUint32(uint32(mtu)); return nil }); err != nil {
			return fmt.Errorf("MTU %d: %w", mtu, err)
		}
	}
	if err := change(socket, name, unix.SIOCSIFADDR, func(card *unix.Ifreq) error { return card.SetInet4Addr(ip.To4()) }); err != nil {
		return fmt.Errorf("address %s: %w", cidr, err)
	}
	mask := net.IP(network.Mask).To4()
	if err := change(socket, name, unix.SIOCSIFNETMASK, func(card *unix.Ifreq) error { return card.SetInet4Addr(mask) }); err != nil {
		return fmt.Errorf("netmask: %w", err)
	}
	up := func(card *unix.Ifreq) error { card.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }
	if err := change(socket, name, unix.SIOCSIFFLAGS, up); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	if gateway == "" {
		return nil
	}
	via := net.ParseIP(gateway).To4()
	if !network.Contains(via) {
		if err := addRoute(socket, via, net.IPv4(255, 255, 255, 255), nil, name); err != nil {
			return fmt.Errorf("route to the gateway: %w", err)
		}
	}
	if err := addRoute(socket, net.IPv4zero, net.IPv4zero, via, name); err != nil {
		return fmt.Errorf("default route: %w", err)
	}
	return nil
}

func change(socket int, name string, request uint, set func(*unix.Ifreq) error) error {
	card, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := set(card); err != nil {
		return err
	}
	return unix.IoctlIfreq(socket, request, card)
}

// routeEntry is struct rtentry of include/uapi/linux/route.h.
type routeEntry struct {
	_                          uint64
	destination, gateway, mask [16]byte
	flags                      uint16
	_                          int16
	_                          uint64
	_                          uintptr
	_                          int16
	_                          [6]byte
	device                     *byte
	_, _                       uint64
	_                          uint16
	_                          [6]byte
}

func addRoute(socket int, destination, mask, gateway net.IP, device string) error {
	name, err := unix.BytePtrFromString(device)
	if err != nil {
		return err
	}
	entry := routeEntry{destination: socketAddress(destination), mask: socketAddress(mask), flags: unix.RTF_UP, device: name}
	if gateway != nil {
		entry.gateway = socketAddress(gateway)
		entry.flags |= unix.RTF_GATEWAY
	}
	if mask.Equal(net.IPv4(255, 255, 255, 255)) {
		entry.flags |= unix.RTF_HOST
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCADDRT, uintptr(unsafe.Pointer(&entry)))
	if errno != 0 && errno != unix.EEXIST {
		return errno
	}
	return nil
}

func socketAddress(ip net.IP) (address [16]byte) {
	binary.LittleEndian.PutUint16(address[:], unix.AF_INET)
	copy(address[4:8], ip.To4())
	return address
}
