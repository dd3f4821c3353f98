package nodetest

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"errors"

	"parley/node"
)

// A note is the simplest record that cannot be forged: sequence u64 ‖ signature over key and text ‖ text, under
// /note/<hex public key>.

// NoteKey is the key of the notes that a device key signs.
func NoteKey(key ed25519.PrivateKey) string { return "/note/" + noteID(key) }

// Note makes a record.
func Note(key ed25519.PrivateKey, sequence uint64, text string) []byte {
	head := binary.BigEndian.AppendUint64(nil, sequence)
	signature := ed25519.Sign(key, signed(noteID(key), head, text))
	return append(append(head, signature...), text...)
}

// Validators returns the validator of notes.
func Validators() map[string]node.Validator { return map[string]node.Validator{"note": validateNote} }

func validateNote(id string, value []byte) (uint64, error) {
	public, err := hex.DecodeString(id)
	if err != nil || len(public) != ed25519.PublicKeySize || len(value) < 8+ed25519.SignatureSize {
		return 0, errors.New("damaged note")
	}
	head, signature, text := value[:8], value[8:8+ed25519.SignatureSize], value[8+ed25519.SignatureSize:]
	if !ed25519.Verify(public, signed(id, head, string(text)), signature) {
		return 0, errors.New("forged note")
	}
	return binary.BigEndian.Uint64(head), nil
}

func noteID(key ed25519.PrivateKey) string {
	return hex.EncodeToString(key.Public().(ed25519.PublicKey))
}

func signed(id string, head []byte, text string) []byte {
	return append(append([]byte("note "+id+" "), head...), text...)
}

// Gullible returns a validator of notes that believes anything, for those who publish what nobody else takes.
func Gullible() map[string]node.Validator {
	return map[string]node.Validator{"note": func(string, []byte) (uint64, error) { return 1, nil }}
}
