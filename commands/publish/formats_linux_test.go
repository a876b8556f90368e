package publish

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"f2bc/aggregate"
	"f2bc/commands/lab"
)

// written returns a file that holds the list of a text in a format.
func written(t *testing.T, list List, format, text string) string {
	t.Helper()
	list.Set = new(aggregate.Set)
	bad := func(_ int, line string, err error) { t.Fatal(line, err) }
	if err := list.Set.Read(strings.NewReader(text), bad); err != nil {
		t.Fatal(err)
	}
	list.Format = Formats[slices.IndexFunc(Formats, func(f Format) bool { return f.Name == format })]
	path := filepath.Join(t.TempDir(), "list")
	if err := list.Write(t.Context(), Target{Path: path}); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkedLists are the lists that each program must accept: usual ones, nothing, and everything.
var checkedLists = []string{
	"203.0.113.6\n198.51.100.0/24\n10.0.0.1\n2001:db8::1\n2001:db8:1::/48\n",
	"",
	"0.0.0.0/0\n::/0\n",
}

// deniedList bans 127.0.0.2 and 127.0.1.0/24, from which a test can really ask.
const deniedList = "127.0.0.2\n127.0.1.0/24\n2001:db8::1\n"

// webServer is a server under test, on a port of the loopback interface.
type webServer struct {
	program, debianPackage string
	format                 string
	config                 string // PORT, DIR and LIST are filled in
	check, run             []string
}

var webServers = map[string]webServer{
	"nginx": {
		program: "nginx", debianPackage: "nginx", format: "nginx",
		config: `
daemon off; master_process off; pid DIR/pid; error_log DIR/error.log;
events {}
http {
	access_log off; client_body_temp_path DIR/a; proxy_temp_path DIR/b;
	fastcgi_temp_path DIR/c; uwsgi_temp_path DIR/d; scgi_temp_path DIR/e;
	include LIST;
	server { listen 127.0.0.1:PORT; root DIR/www; }
}`,
		check: []string{"-t", "-q", "-e", "DIR/error.log", "-c", "DIR/config"},
		run:   []string{"-e", "DIR/error.log", "-c", "DIR/config"},
	},
	"apache": {
		program: "apache2", debianPackage: "apache2-bin", format: "apache",
		config: `
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_host_module /usr/lib/apache2/modules/mod_authz_host.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
ServerName localhost
ServerRoot DIR
DocumentRoot DIR/www
Listen 127.0.0.1:PORT
PidFile DIR/pid
ErrorLog DIR/error.log
User nobody
Group nogroup
<Location />
	<RequireAll>
		Require all granted
		Include LIST
	</RequireAll>
</Location>
`,
		check: []string{"-t", "-f", "DIR/config"},
		run:   []string{"-X", "-f", "DIR/config"},
	},
	"HAProxy map": {
		program: "haproxy", debianPackage: "haproxy", format: "haproxy-map",
		config: haproxyConfig + "	http-request deny if { src,map_ip_int(LIST,0) eq 1 }\n" + haproxyAnswer,
		check:  []string{"-c", "-f", "DIR/config"},
		run:    []string{"-db", "-f", "DIR/config"},
	},
	"HAProxy ACL file": {
		program: "haproxy", debianPackage: "haproxy", format: "plain",
		config: haproxyConfig + "	http-request deny if { src -f LIST }\n" + haproxyAnswer,
		check:  []string{"-c", "-f", "DIR/config"},
		run:    []string{"-db", "-f", "DIR/config"},
	},
}

const (
	haproxyConfig = `
defaults
	mode http
	timeout client 10s
	timeout server 10s
	timeout connect 10s
frontend web
	bind 127.0.0.1:PORT
`
	haproxyAnswer = "	http-request return status 200 content-type text/plain string hello\n"
)

// TestWebServers: the real programs read the lists, and deny exactly the banned.
func TestWebServers(t *testing.T) {
	for name, s := range webServers {
		t.Run(name, func(t *testing.T) {
			lab.Need(t, s.debianPackage, s.program)
			for _, list := range checkedLists {
				dir, _ := s.prepare(t, written(t, List{}, s.format, list))
				if out, err := exec.Command(s.program, inDir(s.check, dir)...).CombinedOutput(); err != nil {
					t.Errorf("%s does not accept %q: %v\n%s", name, list, err, out)
				}
			}
			port := s.start(t, written(t, List{}, s.format, deniedList))
			for from, want := range map[string]int{
				"127.0.0.1": 200, "127.0.0.3": 200, "127.0.2.0": 200, "127.0.0.2": 403, "127.0.1.77": 403,
			} {
				if got := get(t, from, port); got != want {
					t.Errorf("%s answers %d to %s, want %d", name, got, from, want)
				}
			}
		})
	}
}

func inDir(args []string, dir string) (list []string) {
	for _, arg := range args {
		list = append(list, strings.ReplaceAll(arg, "DIR", dir))
	}
	return list
}

func (s webServer) prepare(t *testing.T, list string) (dir string, port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	dir = t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // apache's user reads it
		t.Fatal(err)
	}
	config := strings.NewReplacer("DIR", dir, "PORT", fmt.Sprint(port), "LIST", list).Replace(s.config)
	err = os.Mkdir(filepath.Join(dir, "www"), 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "www/index.html"), []byte("hello\n"), 0o644)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, port
}

func (s webServer) start(t *testing.T, list string) (port int) {
	t.Helper()
	dir, port := s.prepare(t, list)
	var out bytes.Buffer
	cmd := exec.Command(s.program, inDir(s.run, dir)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			c.Close()
			return port
		}
	}
	log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
	t.Fatalf("%s does not listen: %s", s.program, log)
	return 0
}

// get asks from an address and returns the status.
func get(t *testing.T, from string, port int) int {
	t.Helper()
	client := http.Client{
		Transport: &http.Transport{
			DialContext:       (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext,
			DisableKeepAlives: true,
		},
		Timeout: time.Minute,
	}
	answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/index.html", port))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}
