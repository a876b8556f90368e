package commands

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rooms are the packages of f2bc with those of ours that they may import. Nothing imports commands but the program.
var rooms = map[string][]string{
	"f2bc": {"commands"},
	"commands": {"aggregate", "commands/enforce", "commands/human", "commands/import3cx", "commands/neverban",
		"commands/publish", "routes", "store", "store/state", "store/threecx"},
	"commands/enforce":   {"aggregate", "commands/human", "commands/neverban", "routes", "store", "store/state"},
	"commands/human":     {},
	"commands/import3cx": {"aggregate", "commands/neverban", "store", "store/state", "store/threecx"},
	"commands/neverban":  {"aggregate", "commands/human", "store/state"},
	"commands/publish":   {"aggregate", "commands/human", "store/state"},
	"store":              {"store/state"},
	"store/state":        {},
	"store/threecx":      {},
	"aggregate":          {},
	"routes":             {},

	"routes/netnstest":           {},
	"store/mariadbtest":          {},
	"store/mysqldouble":          {},
	"store/threecx/postgrestest": {},
	"testdata/bare":              {},
	"testdata/bench":             {},
	"commands/lab":               {"routes/netnstest", "store/mariadbtest"},
}

// Every room imports only what it may, and there is no room that nobody thought about.
func TestRooms(t *testing.T) {
	list := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...", "./testdata/bare", "./testdata/bench")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(out)) {
		packages := strings.Fields(line)
		room := strings.TrimPrefix(packages[0], "f2bc/")
		may, known := rooms[room]
		if !known {
			t.Errorf("%s is in no row of rooms", room)
			continue
		}
		found++
		for _, imported := range packages[1:] {
			if ours, is := strings.CutPrefix(imported, "f2bc/"); is && !slices.Contains(may, ours) {
				t.Errorf("%s must not import %s", room, ours)
			}
		}
	}
	if found != len(rooms) {
		t.Errorf("%d of %d rooms are there", found, len(rooms))
	}
}
