package wire

// The registry of every label under which parley signs, hashes, derives or seals. Labels separate domains: nothing that was made
// under one can pass for something made under another. Never reuse one; labels_test.go checks that no two are alike.
const (
	LabelAccountID   = "parley/account id/1"
	LabelDirect      = "parley/direct/1"
	LabelMessageID   = "parley/msg/1"
	LabelNetworkID   = "parley/network/1"
	LabelFingerprint = "parley/fingerprint/1"
	LabelInvite      = "parley invite v1"
	LabelCertificate = "parley device certificate v1"
	LabelAccount     = "parley account record v1"
	LabelDevice      = "parley device record v1"
	LabelPrekey      = "parley prekey v1"
	LabelMember      = "parley member proof v1"
	LabelBox         = "parley/box/1"
	LabelAck         = "parley/ack/1"
	LabelKeys        = "parley/keys/1"
	LabelHandshake   = "parley/pqxdh/1"
	LabelRatchet     = "parley/rk/1"
	LabelBody        = "parley/body/1"
	LabelLinkToken   = "parley/link/1"
	LabelInviteToken = "parley/invite/1"
	LabelSafety      = "parley/sn/1"
	LabelCells       = "parley/cells/1"
	LabelCellKey     = "parley/cell key/1"
	LabelIndex       = "parley/index/1"
	LabelKeystore    = "parley/keystore/1"
	LabelGrant       = "parley/grant/1"
	LabelCapability  = "parley/cap/1"
)

// Labels returns the registry, for the test that keeps it free of twins.
func Labels() []string {
	return []string{
		LabelAccountID, LabelDirect, LabelMessageID, LabelNetworkID, LabelFingerprint, LabelInvite, LabelCertificate,
		LabelAccount, LabelDevice, LabelPrekey, LabelMember, LabelBox, LabelAck, LabelKeys,
		LabelHandshake, LabelRatchet, LabelBody, LabelLinkToken, LabelInviteToken, LabelSafety,
		LabelCells, LabelCellKey, LabelIndex, LabelKeystore, LabelGrant, LabelCapability,
	}
}
