package main

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func etc(t *testing.T) string {
	folder := t.TempDir()
	files := map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/sh\nbroken\napp:x:1000:1001::/srv:/bin/false\n",
		"group":  "root:x:0:\nwheel:x:10:app,other\nstaff:x:50:other\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestAUserIsWhatTheImageSays(t *testing.T) {
	folder := etc(t)
	for user, want := range map[string]account{
		"":          {"root", "/root", "/bin/sh", 0, 0, nil},
		"root":      {"root", "/root", "/bin/sh", 0, 0, nil},
		"app":       {"app", "/srv", "/bin/false", 1000, 1001, []uint32{10}},
		"1000":      {"app", "/srv", "/bin/false", 1000, 1001, []uint32{10}},
		"app:staff": {"app", "/srv", "/bin/false", 1000, 50, []uint32{10}},
		"77:88":     {"77", "/", "", 77, 88, nil},
	} {
		if got, err := findAccount(folder, user); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v %v, not %+v", user, got, err, want)
		}
	}
	for _, user := range []string{"nobody-here", "app:nobody-here", "-1", "99999999999"} {
		if got, err := findAccount(folder, user); err == nil {
			t.Errorf("%q is taken for %+v", user, got)
		}
	}
}

func TestAnImageWithoutUsersHasRoot(t *testing.T) {
	if got, err := findAccount(t.TempDir(), ""); err != nil || got.uid != 0 {
		t.Error(got, err)
	}
}
