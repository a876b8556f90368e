package lab

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// StartSSHD runs a real sshd that asks for passwords. Its directory in /run is its own.
func (h *Host) StartSSHD() {
	h.t.Helper()
	if out, err := h.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", h.Path("hostkey")).CombinedOutput(); err != nil {
		h.t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	sshd, err := exec.LookPath("sshd") // which it wants to know
	if err != nil {
		h.t.Fatal(err)
	}
	h.Write("sshd_config", "HostKey "+h.Path("hostkey")+"\nPidFile none\nUsePAM no\nPasswordAuthentication yes\nUseDNS no\n")
	cmd := h.Command("unshare", "--mount", "sh", "-c", `mount -t tmpfs none /run && mkdir /run/sshd && exec "$0" "$@"`,
		sshd, "-D", "-e", "-f", h.Path("sshd_config"))
	log, err := cmd.StderrPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	h.Serve("auth.log", cmd)
	go h.syslog("auth.log", "sshd", log)
	Wait(h.t, "sshd", func() bool { return strings.Contains(h.Read("auth.log"), "Server listening") })
}

// syslog writes what a program says to a log as a syslog daemon does: with time and program before each line.
func (h *Host) syslog(name, program string, from io.Reader) {
	log, err := os.OpenFile(h.Path(name), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Error(err)
		return
	}
	defer log.Close()
	for lines := bufio.NewScanner(from); lines.Scan(); {
		fmt.Fprintf(log, "%s %s %s[1]: %s\n", time.Now().Format("2006-01-02T15:04:05.000000-07:00"), h.name, program, lines.Text())
	}
}

// StartFail2ban runs a real fail2ban with its own sshd filter and the action that f2bc prints.
func (h *Host) StartFail2ban() {
	h.t.Helper()
	h.Write("fail2ban/fail2ban.conf", fmt.Sprintf("[Definition]\nloglevel = INFO\nlogtarget = STDOUT\nsyslogsocket = auto\n"+
		"socket = %[1]s/f2b.sock\npidfile = %[1]s/f2b.pid\ndbfile = %[1]s/f2b.sqlite3\ndbpurgeage = 1d\ndbmaxmatches = 10\n", h.dir))
	h.Write("fail2ban/jail.conf", "[sshd]\nenabled = true\nfilter = sshd\nbackend = polling\nusedns = no\n"+
		"logpath = "+h.Path("auth.log")+"\nmaxretry = 3\nfindtime = 600\nbantime = 3600\naction = f2bc\n")
	h.Write("fail2ban/action.d/f2bc.conf", h.F2bc("setup", "fail2ban"))
	if err := os.Symlink("/etc/fail2ban/filter.d", h.Path("fail2ban/filter.d")); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if h.t.Failed() {
			h.t.Logf("sshd's log:\n%s\nfail2ban's log:\n%s", h.Read("auth.log"), h.Read("fail2ban.log"))
		}
	})
	h.Serve("fail2ban.log", h.Command("fail2ban-server", "-f", "-c", h.Path("fail2ban"), "start"))
	Wait(h.t, "fail2ban", func() bool { return strings.Contains(h.Read("fail2ban.log"), "Jail 'sshd' started") })
}

// FailLogins tries wrong passwords on the sshd at addr until done.
func (h *Host) FailLogins(addr string, done func() bool) {
	h.t.Helper()
	h.Write("askpass", "#!/bin/sh\necho wrong\n")
	if err := os.Chmod(h.Path("askpass"), 0o700); err != nil {
		h.t.Fatal(err)
	}
	Wait(h.t, "fail2ban to ban the attacker", func() bool {
		ssh := h.Command("ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
			"-o", "PreferredAuthentications=password", "-o", "ConnectTimeout=10", "admin@"+addr)
		ssh.Env = append(ssh.Env, "SSH_ASKPASS="+h.Path("askpass"), "SSH_ASKPASS_REQUIRE=force")
		var out bytes.Buffer
		ssh.Stdout, ssh.Stderr = &out, &out
		h.Start(ssh)
		if err := ssh.Wait(); err == nil || !strings.Contains(out.String(), "Permission denied") {
			h.t.Fatalf("ssh with a wrong password: %v\n%s", err, &out)
		}
		return done()
	})
}
