-- now: the server's clock, by which leases and due times are measured. Reads only.
--
-- KEYS: those of the prelude, which say of which server. ARGV: none. Reply: ms since 1970.
return now_ms()
