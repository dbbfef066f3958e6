package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var seed = base64.StdEncoding.EncodeToString(make([]byte, 32))

func TestAConfigurationIsGoneAfterItWasRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weft.json")
	if err := os.WriteFile(path, []byte(`{"hostname":"web","host_key_seed":"`+seed+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := takeConfig(path)
	if err != nil || config.Hostname != "web" {
		t.Fatal(config, err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatal("it is still there")
	}
}

func TestAConfigurationThatCannotBeFollowedIsRefused(t *testing.T) {
	for _, text := range []string{
		`{}`, `[]`, `{"host_key_seed":"AAAA"}`,
		`{"host_key_seed":"` + seed + `","restart":"sometimes"}`,
		`{"host_key_seed":"` + seed + `","nics":[{"mac":"no","address":"10.0.0.2/24"}]}`,
		`{"host_key_seed":"` + seed + `","nics":[{"mac":"02:57:00:00:00:01","address":"10.0.0.2"}]}`,
		`{"host_key_seed":"` + seed + `","nics":[{"mac":"02:57:00:00:00:01","address":"fd00::2/64"}]}`,
		`{"host_key_seed":"` + seed + `","nics":[{"mac":"02:57:00:00:00:01","address":"10.0.0.2/24","gateway":"x"}]}`,
	} {
		if config, err := parseConfig([]byte(text)); err == nil {
			t.Error(text, "was taken as", config)
		}
	}
}

func TestNamesOfTheNetworkComeFromTheControlPlane(t *testing.T) {
	config := Config{Hostname: "web", Domain: "red.internal", DNS: []string{"10.0.0.1", "9.9.9.9"},
		Nics: []Nic{{Address: "10.0.0.2/24"}}}
	if got := resolvConf(config); got != "search red.internal\nnameserver 10.0.0.1\nnameserver 9.9.9.9\n" {
		t.Error(got)
	}
	once := hosts("127.0.0.1 localhost\n192.0.2.1 other\n", config)
	if once != "127.0.0.1 localhost\n192.0.2.1 other\n10.0.0.2 web.red.internal web # weft\n" {
		t.Error(once)
	}
	config.Nics[0].Address = "10.0.0.9/24"
	if again := hosts(once, config); strings.Contains(again, "10.0.0.2") || strings.Count(again, "\n") != 3 {
		t.Error("a later boot leaves lines of an earlier one:", again)
	}
	if empty := hosts("", config); !strings.HasPrefix(empty, "127.0.0.1 localhost") {
		t.Error(empty)
	}
}
