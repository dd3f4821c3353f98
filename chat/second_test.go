package chat_test

// A second implementation of what SPEC.md says about keys, records, contents, links and safety numbers, written from its text.
// It shares no code with the product: nothing of the module is imported here, and nothing may be.

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
)

// reread is a vector of the file; rereading is what its output is worked out with.
type (
	reread struct {
		Name    string
		In, Out map[string]string
	}
	rereading func(t *testing.T, in map[string]string) map[string]string
)

// rereadings has every vector by its name. One that is in the file and not here fails the test, and the other way around.
var rereadings = map[string]rereading{
	"account":                  rereadAccount,
	"device":                   rereadDevice,
	"certificate":              rereadCertificate,
	"account record":           rereadAccountRecord,
	"device record":            rereadDeviceRecord,
	"direct conversation":      rereadDirect,
	"content":                  rereadContent,
	"body that begins a chain": rereadBody,
	"step":                     rereadStep,
	"network":                  rereadNetwork,
	"network invite":           rereadInvite,
	"contact link":             rereadContactLink,
	"link tokens":              rereadTokens,
	"safety number":            rereadSafetyNumber,
	"acknowledgements":         rereadAcks,
	"capabilities":             rereadCapabilities,
	"member proof":             rereadMemberProof,
}

func TestASecondReadingDerivesTheVectors(t *testing.T) {
	file, err := os.ReadFile("testdata/vectors/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []reread
	if err := json.Unmarshal(file, &all); err != nil {
		t.Fatal(err)
	}
	met := map[string]bool{}
	for _, v := range all {
		derive, ok := rereadings[v.Name]
		if !ok {
			t.Errorf("the vector %q is not known here: derive it from SPEC.md", v.Name)
			continue
		}
		if met[v.Name] {
			t.Errorf("the vector %q is there twice", v.Name)
		}
		met[v.Name] = true
		t.Run(v.Name, func(t *testing.T) {
			if got := derive(t, v.In); !maps.Equal(got, v.Out) {
				t.Errorf("derived\n%v\nthe file has\n%v", got, v.Out)
			}
		})
	}
	for name := range rereadings {
		if !met[name] {
			t.Errorf("the vector %q is gone from the file", name)
		}
	}
}

// The notation of SPEC.md.

func again(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }

func joined(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func u16of(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

func u32of(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func u64of(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func lpOf(b []byte) []byte { return joined(u32of(uint32(len(b))), b) }

func hashOf(parts ...[]byte) []byte {
	sum := sha256.Sum256(joined(parts...))
	return sum[:]
}

// signedObject is body ‖ sig64, where the signature is over lp(label) ‖ body.
func signedObject(key ed25519.PrivateKey, label string, body ...[]byte) []byte {
	whole := joined(body...)
	return joined(whole, ed25519.Sign(key, joined(lpOf([]byte(label)), whole)))
}

const crockfordDigits = "0123456789abcdefghjkmnpqrstvwxyz"

// digitsOf has the first n groups of five bits of b; zeros follow the last bit.
func digitsOf(b []byte, n int) []byte {
	digits := make([]byte, n)
	for i := range 5 * n {
		digits[i/5] <<= 1
		if i/8 < len(b) {
			digits[i/5] |= b[i/8] >> (7 - i%8) & 1
		}
	}
	return digits
}

func crockfordOf(digits []byte) string {
	var text strings.Builder
	for _, d := range digits {
		text.WriteByte(crockfordDigits[d])
	}
	return text.String()
}

// idText is an id as text: all of its bits.
func idText(id []byte) string { return crockfordOf(digitsOf(id, (8*len(id)+4)/5)) }

// shortText has 75 bits and a check character, in groups of four.
func shortText(account []byte) string {
	digits := digitsOf(hashOf([]byte("parley/account id/1"), account), 15)
	sum := 0
	for i, d := range digits {
		sum += int(d) * (2*i + 1)
	}
	text := crockfordOf(append(digits, byte(sum%32)))
	return strings.Join([]string{text[:4], text[4:8], text[8:12], text[12:]}, "-")
}

// base58Of is the Bitcoin alphabet's base 58, which libp2p writes peer ids in.
func base58Of(b []byte) string {
	const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	var text []byte
	n, base, digit := new(big.Int).SetBytes(b), big.NewInt(58), new(big.Int)
	for n.Sign() > 0 {
		n.DivMod(n, base, digit)
		text = append([]byte{alphabet[digit.Int64()]}, text...)
	}
	zeros := len(b) - len(bytes.TrimLeft(b, "\x00"))
	return strings.Repeat("1", zeros) + string(text)
}

// The identity of the vectors: the account, the device and the exchange key.

func theAccount() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(again(32, 1)) }

func theDevice() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(again(32, 2)) }

func publicOf(key ed25519.PrivateKey) []byte { return key.Public().(ed25519.PublicKey) }

// peerIDOf is the identity multihash (00, length) of the protobuf of an Ed25519 key (type 1 in field 1, key in field 2).
func peerIDOf(key []byte) []byte {
	return joined([]byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}, key)
}

func theDeviceID() []byte { return peerIDOf(publicOf(theDevice())) }

// x25519Of is the public half of a private X25519 key.
func x25519Of(t *testing.T, private []byte) []byte {
	t.Helper()
	key, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return key.PublicKey().Bytes()
}

// mlkemOf is the encapsulation key of a seed d ‖ z.
func mlkemOf(t *testing.T, seed []byte) []byte {
	t.Helper()
	key, err := mlkem.NewDecapsulationKey768(seed)
	if err != nil {
		t.Fatal(err)
	}
	return key.EncapsulationKey().Bytes()
}

// xwingOf is the public X-Wing key of a seed: SHAKE256 makes of it the seed of the ML-KEM key and the private X25519 key.
func xwingOf(t *testing.T, seed []byte) []byte {
	t.Helper()
	both := sha3.SumSHAKE256(seed, 96)
	return joined(mlkemOf(t, both[:64]), x25519Of(t, both[64:]))
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func uintOf(t *testing.T, text string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Section 1 and 2: ids and records.

func rereadAccount(t *testing.T, in map[string]string) map[string]string {
	key := publicOf(ed25519.NewKeyFromSeed(unhex(t, in["seed"])))
	return map[string]string{
		"key": hex.EncodeToString(key), "text": idText(key), "short": shortText(key), "record key": "/account/" + idText(hashOf(key)),
	}
}

func rereadDevice(t *testing.T, in map[string]string) map[string]string {
	id := peerIDOf(publicOf(ed25519.NewKeyFromSeed(unhex(t, in["seed"]))))
	return map[string]string{"peer id": base58Of(id), "bytes": hex.EncodeToString(id), "record key": "/device/" + base58Of(id)}
}

func certificateOf(t *testing.T, name string, sequence uint64) []byte {
	account := theAccount()
	return signedObject(account, "parley device certificate v1", []byte{1, 1}, lpOf(publicOf(account)), lpOf(theDeviceID()),
		lpOf(x25519Of(t, again(32, 3))), lpOf([]byte(name)), u64of(sequence))
}

func rereadCertificate(t *testing.T, in map[string]string) map[string]string {
	return map[string]string{"bytes": hex.EncodeToString(certificateOf(t, in["name"], uintOf(t, in["sequence"])))}
}

// rereadAccountRecord makes a first record, so that prev is zero, of one certificate and no revoked device.
func rereadAccountRecord(t *testing.T, in map[string]string) map[string]string {
	account := theAccount()
	record := signedObject(account, "parley account record v1", []byte{1, 2}, lpOf(publicOf(account)), u64of(uintOf(t, in["sequence"])),
		again(32, 0), []byte{1}, lpOf(certificateOf(t, "laptop", 1)), []byte{0})
	return map[string]string{"bytes": hex.EncodeToString(record)}
}

// prekeyOf is purpose ‖ lp(key) ‖ sig64; what is signed is a body of its own, with the device in it.
func prekeyOf(purpose byte, key []byte) []byte {
	signed := signedObject(theDevice(), "parley prekey v1", []byte{1, 4, purpose}, lpOf(theDeviceID()), lpOf(key))
	return joined([]byte{purpose}, lpOf(key), signed[len(signed)-ed25519.SignatureSize:])
}

// rereadDeviceRecord makes a record with the keys of one generation and no mailboxes.
func rereadDeviceRecord(t *testing.T, in map[string]string) map[string]string {
	record := signedObject(theDevice(), "parley device record v1", []byte{1, 3}, lpOf(theDeviceID()), lpOf(publicOf(theAccount())),
		u64of(uintOf(t, in["sequence"])), unhex(t, in["instance"]), []byte{3},
		prekeyOf(1, x25519Of(t, again(32, 4))), prekeyOf(2, mlkemOf(t, again(64, 5))), prekeyOf(5, xwingOf(t, again(32, 6))), []byte{0})
	return map[string]string{"bytes": hex.EncodeToString(record)}
}

// Section 3 and 4.4: contents and bodies.

func directOf(a, b []byte) []byte {
	if bytes.Compare(a, b) > 0 {
		a, b = b, a
	}
	return joined([]byte{1}, hashOf([]byte("parley/direct/1"), a, b)[:31])
}

func rereadDirect(t *testing.T, in map[string]string) map[string]string {
	a, b := unhex(t, in["a"]), unhex(t, in["b"])
	id := directOf(a, b)
	if !bytes.Equal(id, directOf(b, a)) {
		t.Error("the conversation depends on who asks")
	}
	return map[string]string{"id": hex.EncodeToString(id), "text": "dm:" + idText(id[1:])}
}

// rereadContent makes the seventh content of the device: prev and two parents are given, the time is 1,800,000,000,000 ms.
func rereadContent(t *testing.T, in map[string]string) map[string]string {
	account := publicOf(theAccount())
	first := func(b byte, n int) []byte { return joined([]byte{b}, again(n-1, 0)) }
	content := joined(lpOf(directOf(account, again(32, 9))), []byte{1}, u64of(7), first(1, 32), []byte{2}, first(2, 32), first(3, 32),
		u64of(1_800_000_000_000<<16), first(4, 16), lpOf([]byte(in["text"])))
	id := hashOf([]byte("parley/msg/1"), lpOf(account), lpOf(theDeviceID()), content)
	return map[string]string{"bytes": hex.EncodeToString(content), "message id": hex.EncodeToString(id), "text": idText(id)}
}

func rereadBody(t *testing.T, in map[string]string) map[string]string {
	body := []byte{0x80 + 1}
	for _, mark := range strings.Split(in["marks"], ", ") {
		body = append(body, u64of(uintOf(t, mark))...)
	}
	body = append(body, unhex(t, in["grant"])...)
	return map[string]string{"bytes": hex.EncodeToString(append(body, "content"...))}
}

// Section 4.7: acknowledgements outside of streams.

func rereadAcks(t *testing.T, in map[string]string) map[string]string {
	packet := joined([]byte{1, 5}, unhex(t, in["session"]), u16of(2))
	for _, n := range []string{"1", "2"} {
		packet = joined(packet, unhex(t, in["envelope "+n]), unhex(t, in["tag "+n]))
	}
	return map[string]string{"bytes": hex.EncodeToString(packet)}
}

// Section 4.9: what lets others deposit.

func rereadCapabilities(t *testing.T, in map[string]string) map[string]string {
	grant := macOf(unhex(t, in["secret"]), joined([]byte("parley/grant/1"), lpOf(unhex(t, in["account"]))))
	at := joined([]byte("parley/cap/1"), lpOf(unhex(t, in["host"])), lpOf(unhex(t, in["owner"])))
	return map[string]string{
		"grant":    hex.EncodeToString(grant),
		"by grant": hex.EncodeToString(macOf(grant, at)),
		"by token": hex.EncodeToString(macOf(unhex(t, in["token"]), at)),
	}
}

func rereadStep(*testing.T, map[string]string) map[string]string {
	return map[string]string{"bytes": hex.EncodeToString([]byte{2})}
}

// Section 6: links. The invites of the vectors are to the network 16 × 06; the links are of the secret 32 × 08 in generation 3.

func rereadNetwork(t *testing.T, in map[string]string) map[string]string {
	digits := digitsOf(hashOf([]byte("parley/fingerprint/1"), unhex(t, in["id"])), 5)
	return map[string]string{"fingerprint": strings.ToUpper(crockfordOf(digits))}
}

func macOf(key, text []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(text)
	return mac.Sum(nil)
}

func tokenOf(secret []byte, label string, generation uint64) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write(joined([]byte(label), u32of(uint32(generation))))
	return mac.Sum(nil)[:16]
}

func rereadTokens(t *testing.T, in map[string]string) map[string]string {
	secret, generation := unhex(t, in["secret"]), uintOf(t, in["generation"])
	return map[string]string{
		"contact": hex.EncodeToString(tokenOf(secret, "parley/link/1", generation)),
		"invite":  hex.EncodeToString(tokenOf(secret, "parley/invite/1", generation)),
	}
}

func fieldOf(kind byte, value ...[]byte) []byte {
	whole := joined(value...)
	return joined([]byte{kind}, binary.AppendUvarint(nil, uint64(len(whole))), whole)
}

func linkText(kind string, fields ...[]byte) string {
	all := joined(fields...)
	check := hashOf([]byte("parley invite v1"), []byte(kind), all)[:4]
	return "parley:" + kind + "1" + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(joined(all, check))
}

// rereadInvite has a seed of three addresses: IPv4 over TCP, IPv6 over TCP, and a name over WSS.
func rereadInvite(t *testing.T, _ map[string]string) map[string]string {
	v4, v6, name := netip.MustParseAddr("203.0.113.7").AsSlice(), netip.MustParseAddr("2001:db8::1").AsSlice(), []byte("seed.example.org")
	addresses := joined([]byte{0x04}, v4, u16of(4101), []byte{0x06}, v6, u16of(4101), []byte{0x2d, byte(len(name))}, name, u16of(443))
	return map[string]string{"link": linkText("J",
		fieldOf(1, again(32, 7)), fieldOf(2, []byte("home")), fieldOf(3, again(16, 6)), fieldOf(4, []byte("Alice")),
		fieldOf(5, publicOf(theDevice()), addresses), fieldOf(6, u32of(1_800_000_000/60)), fieldOf(7, publicOf(theAccount())),
		fieldOf(9, tokenOf(again(32, 8), "parley/invite/1", 3)), fieldOf(15, again(16, 1)))}
}

// rereadMemberProof is section 2, "Membership".
func rereadMemberProof(t *testing.T, in map[string]string) map[string]string {
	body := joined(unhex(t, in["network"]), unhex(t, in["device"]))
	return map[string]string{"bytes": hex.EncodeToString(ed25519.Sign(theAccount(), joined(lpOf([]byte("parley member proof v1")), body)))}
}

// rereadContactLink has no seed.
func rereadContactLink(*testing.T, map[string]string) map[string]string {
	return map[string]string{"link": linkText("C", fieldOf(3, again(16, 6)), fieldOf(4, []byte("Alice")),
		fieldOf(7, publicOf(theAccount())), fieldOf(9, tokenOf(again(32, 8), "parley/link/1", 3)))}
}

// Section 8: the safety number.

// halfOf has the six groups of one account.
func halfOf(account []byte) []string {
	h := joined([]byte("parley/sn/1"), account)
	for range 5200 {
		sum := sha512.Sum512(joined(h, account))
		h = sum[:]
	}
	var groups []string
	for at := 0; at < 30; at += 5 {
		n := new(big.Int).SetBytes(h[at : at+5]).Uint64()
		groups = append(groups, fmt.Sprintf("%05d", n%100_000))
	}
	return groups
}

func rereadSafetyNumber(t *testing.T, in map[string]string) map[string]string {
	lower, higher := unhex(t, in["a"]), unhex(t, in["b"])
	if bytes.Compare(lower, higher) > 0 {
		lower, higher = higher, lower
	}
	groups := append(halfOf(lower), halfOf(higher)...)
	return map[string]string{"digits": strings.Join(groups, " "), "code": "PARLEY:V1:" + strings.Join(groups, "")}
}
