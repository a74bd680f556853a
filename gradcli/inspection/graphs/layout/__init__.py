"""Drawing a graph without circles in layers, after Sugiyama, Tagawa and Toda (1981)."""
