"""Frame players: how a batch of frames is played on the instruments at hand."""
