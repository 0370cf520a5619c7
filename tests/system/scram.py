"""The client's part of SCRAM (RFC 5802, RFC 7677), written anew for the tests: messages as bytes, no stream, no base64
around them."""
import base64
import hashlib
import hmac
import secrets


class Scram:
    """digest: 'sha1' or 'sha256'. flag: the gs2-cbind-flag, b'p=tls-exporter', b'y' or b'n'. binding: the channel's
    data, where there is a p."""

    def __init__(self, digest, user, password, flag=b'n', binding=b''):
        self.digest = digest
        self.password = password.encode()
        self.header = flag + b',,'
        self.binding = binding
        self.nonce = secrets.token_hex(12).encode()
        self.bare = b'n=%s,r=%s' % (user.encode().replace(b'=', b'=3D').replace(b',', b'=2C'), self.nonce)
        self.signature = None

    def first(self):
        return self.header + self.bare

    def _hmac(self, key, text):
        return hmac.digest(key, text, self.digest)

    def final(self, challenge):
        """The answer to what the server says of salt and iterations."""
        fields = dict(field.split(b'=', 1) for field in challenge.split(b','))
        if not fields[b'r'].startswith(self.nonce) or fields[b'r'] == self.nonce:
            raise AssertionError('not our nonce, made longer: %r' % challenge)
        salted = hashlib.pbkdf2_hmac(self.digest, self.password, base64.b64decode(fields[b's']), int(fields[b'i']))
        key = self._hmac(salted, b'Client Key')
        message = b'c=%s,r=%s' % (base64.b64encode(self.header + self.binding), fields[b'r'])
        whole = b','.join((self.bare, challenge, message))
        signature = self._hmac(hashlib.new(self.digest, key).digest(), whole)
        self.signature = self._hmac(self._hmac(salted, b'Server Key'), whole)
        proof = bytes(one ^ other for one, other in zip(key, signature))
        return message + b',p=' + base64.b64encode(proof)

    def is_servers(self, last):
        """Whether this is the proof that the server knows the password, too."""
        return last == b'v=' + base64.b64encode(self.signature)
