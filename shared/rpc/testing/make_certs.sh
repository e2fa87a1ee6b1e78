#!/bin/sh
# Makes the certificates of the tests in the folder $1: two authorities, a server, and clients good and bad.
set -eu
cd "$1"

authority() { # name
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.pem" -days 30 \
    -subj "/CN=$1" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}

leaf() { # name, authority, subjectAltName
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1"
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n' "$3" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days 30 -extfile "$1.ext" -out "$1.pem"
}

authority ca
authority other-ca
leaf server ca "DNS:localhost,IP:127.0.0.1,URI:spiffe://disburse/server"
leaf client ca "URI:spiffe://disburse/test"
leaf limited ca "URI:spiffe://disburse/limited"
leaf edge ca "URI:spiffe://disburse/edge"
leaf stranger ca "URI:spiffe://disburse/stranger"
leaf no-uri ca "DNS:localhost"
leaf two-uris ca "URI:spiffe://disburse/test,URI:spiffe://disburse/other"
leaf foreign other-ca "URI:spiffe://disburse/test"
