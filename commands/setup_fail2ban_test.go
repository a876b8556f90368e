package commands

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFail2banCommands runs the printed commands in a shell, with a ticket that is a dash and a standard input that does
// not end: they return at once.
func TestFail2banCommands(t *testing.T) {
	f := newFail2ban(t)
	commands := 0
	for line := range strings.Lines(f.f2bc("setup", "fail2ban")) {
		name, command, _ := strings.Cut(strings.TrimSpace(line), " = ")
		if !strings.HasPrefix(name, "action") || !strings.Contains(command, "<f2bc>") {
			continue
		}
		commands++
		command = strings.NewReplacer("<f2bc>", f.program, "<f2bc_config>", filepath.Join(f.dir, "f2bc.toml"),
			"<f2bc_args>", "", "<name>", "demo", "<time>", fmt.Sprint(time.Now().Unix()), "<bantime>", "600", "<ip>", "-").Replace(command)
		cmd := exec.Command("sh", "-c", command)
		cmd.Env, cmd.WaitDelay = f.env(), time.Second
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() }) // fail2ban's own limit
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		if !late.Stop() {
			t.Errorf("%s waits for standard input", name)
		}
	}
	if commands != 3 {
		t.Errorf("%d commands", commands)
	}
}
