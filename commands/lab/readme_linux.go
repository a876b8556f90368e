package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "embed"

	"f2bc/store/mariadbtest"
)

var fence = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")

// Readme returns the text of the README, and its blocks of commands.
func Readme(t *testing.T) (text string, blocks []string) {
	t.Helper()
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	text = string(b)
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		if m[1] == "sh" {
			blocks = append(blocks, m[2])
		}
	}
	return text, blocks
}

// RunOnFreshServer runs a shell script, which stops at the first failure, as root of a server of its own, and returns
// what it prints. The server has this machine's programs, but nothing that it does to files outlives it. fail2ban
// watches its sshd; the database server db.example, which it may administer, has a certificate that it trusts. The working
// directory holds f2bc.
func (h *Host) RunOnFreshServer(script string) string {
	h.t.Helper()
	db := mariadbtest.New(h.t)
	certify(h, "db.example")
	db.Port = 3306
	db.Args = []string{"--ssl-cert=" + h.Path("cert.pem"), "--ssl-key=" + h.Path("key.pem")}
	h.NS.Do(func() {
		if err := db.Start(); err != nil {
			h.t.Fatal(err)
		}
	})
	h.Write("script", server+script)
	cmd := h.Command("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-eux", h.Path("script"), Program, db.Socket())
	cmd.Dir = h.dir
	cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+h.Path("cert.pem"))
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	h.Start(cmd)
	if err := cmd.Wait(); err != nil {
		h.t.Fatalf("%v\n%s", err, &out)
	}
	return out.String()
}

// server makes the machine into a fresh one. What is written goes to memory.
const server = `
hostname web1
mount -t tmpfs none /mnt
for dir in etc var usr/local; do
	mkdir -p /mnt/$dir/new /mnt/$dir/work
	mount -t overlay overlay -o lowerdir=/$dir,upperdir=/mnt/$dir/new,workdir=/mnt/$dir/work /$dir
done
mount -t tmpfs none /run
rm -rf /etc/f2bc /var/lib/f2bc /var/lib/fail2ban /usr/local/bin/f2bc
mkdir -p /etc/cron.d /run/fail2ban /run/mysqld /var/lib/fail2ban
cp "$1" f2bc
ln -s "$2" /run/mysqld/mysqld.sock
echo '127.0.0.1 db.example
192.0.2.7 office.example' >>/etc/hosts
touch /var/log/auth.log
printf '[DEFAULT]\nbackend = polling\nbanaction = dummy\n' >/etc/fail2ban/jail.local
fail2ban-client start
`

// certify writes a certificate for a server's name, and its key. It is its own authority.
func certify(h *Host, name string) {
	h.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		h.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	h.Write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}
