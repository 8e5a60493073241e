"""The way in: receive → authenticate → parse → admit."""
