package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
)

// Config is what the host says of this machine. It holds secrets: see takeConfig.
type Config struct {
	Hostname    string   `json:"hostname"`
	Root        string   `json:"root"`
	Channel     string   `json:"channel"`
	Nics        []Nic    `json:"nics"`
	DNS         []string `json:"dns"`
	Domain      string   `json:"domain"`
	Command     []string `json:"command"`
	Env         []string `json:"env"`
	Dir         string   `json:"dir"`
	User        string   `json:"user"`
	Restart     string   `json:"restart"`
	OwnInit     bool     `json:"own_init"`
	Keys        []string `json:"keys"`
	HostKeySeed []byte   `json:"host_key_seed"`
	SSHPort     int      `json:"ssh_port"`
	Entropy     []byte   `json:"entropy"`
	TimeNs      int64    `json:"time_ns"`
}

// Nic is found by its MAC; Gateway may be empty.
type Nic struct {
	Mac     string `json:"mac"`
	Address string `json:"address"`
	Gateway string `json:"gateway"`
	MTU     int    `json:"mtu"`
}

// takeConfig reads the configuration and removes it, so that nothing that runs later finds it.
func takeConfig(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, err
	}
	if err := os.Remove(path); err != nil {
		return Config{}, err
	}
	return parseConfig(text)
}

func parseConfig(text []byte) (Config, error) {
	config := Config{Root: "/dev/vda", Channel: "serial", Dir: "/", Restart: "never"}
	if err := json.Unmarshal(text, &config); err != nil {
		return config, err
	}
	if len(config.HostKeySeed) != 32 {
		return config, errors.New("the seed of the host key has not 32 bytes")
	}
	switch config.Restart {
	case "never", "on-failure", "always":
	default:
		return config, fmt.Errorf("restart is %q", config.Restart)
	}
	for _, nic := range config.Nics {
		if _, err := net.ParseMAC(nic.Mac); err != nil {
			return config, err
		}
		if ip, _, err := net.ParseCIDR(nic.Address); err != nil || ip.To4() == nil {
			return config, fmt.Errorf("%q is no IPv4 address with its prefix", nic.Address)
		}
		if nic.Gateway != "" && net.ParseIP(nic.Gateway).To4() == nil {
			return config, fmt.Errorf("%q is no IPv4 address", nic.Gateway)
		}
	}
	return config, nil
}
