-- Hardware-timed frames on a dual SourceMeter: smua pulses the device, smub senses its Hall arms at 0 A.
-- Written in Lua 5.0, as the instrument has it: table.getn instead of '#', no string library needed.
-- Timers: 1 starts the pulses, 2 ends them, 3 and 4 pace the readings, 5 lets smua check itself.

hilab_version = 2
hilab_levels = {}
hilab_count = 0
hilab_load = 0
hilab_line = 0

-- Fixed ranges on both channels, outputs off: A, V, V, mains cycles of smub's readings, limit of smub in V.
function h_setup(range_i, limit_v, range_v, nplc, limit_b)
  smua.abort() smub.abort()
  smua.source.output = 0 smub.source.output = 0
  smua.source.func = smua.OUTPUT_DCAMPS
  smua.source.autorangei = 0 smua.source.rangei = range_i smua.source.leveli = 0
  smua.source.limitv = limit_v smua.trigger.source.limitv = limit_v
  smua.measure.autorangev = 0 smua.measure.rangev = limit_v
  smua.measure.nplc = 0.001 smua.measure.autozero = smua.AUTOZERO_ONCE smua.measure.delay = 0
  smub.source.func = smub.OUTPUT_DCAMPS
  smub.source.autorangei = 0 smub.source.rangei = 1e-6 smub.source.leveli = 0 smub.source.limitv = limit_b
  smub.measure.autorangev = 0 smub.measure.rangev = range_v
  smub.measure.nplc = nplc smub.measure.autozero = smub.AUTOZERO_ONCE smub.measure.delay = 0
end

-- Times of one frame in s: from each pulse's start to the next one's, widths, first reading, from reading
-- to reading, and smua's own check after a pulse's start.
function h_times(intervals, widths, first, between, check)
  for i = 1, 5 do trigger.timer[i].reset() end
  trigger.timer[1].stimulus = smua.trigger.ARMED_EVENT_ID
  trigger.timer[1].passthrough = true
  trigger.timer[1].delaylist = intervals
  trigger.timer[2].stimulus = trigger.timer[1].EVENT_ID
  trigger.timer[2].delaylist = widths
  trigger.timer[3].stimulus = smua.trigger.ARMED_EVENT_ID
  trigger.timer[3].delay = first
  trigger.timer[4].stimulus = trigger.timer[3].EVENT_ID
  trigger.timer[4].passthrough = true
  trigger.timer[4].delaylist = between
  trigger.timer[5].stimulus = trigger.timer[1].EVENT_ID
  trigger.timer[5].delay = check
end

function h_scaled(list, unit)
  local scaled = {}
  for i = 1, table.getn(list) do scaled[i] = list[i] * unit end
  return scaled
end

-- A new list of levels: what one digit is worth in A, and the levels that every frame has before and after its write.
function h_new(unit, before, after)
  hilab_levels = {}
  hilab_count = 0
  hilab_unit = unit
  hilab_before = h_scaled(before, unit)
  hilab_after = h_scaled(after, unit)
end

-- Append frames by their write levels.
function h_w(writes)
  local levels, n, unit = hilab_levels, hilab_count, hilab_unit
  local before, after = hilab_before, hilab_after
  local nb, na = table.getn(before), table.getn(after)
  for i = 1, table.getn(writes) do
    for j = 1, nb do levels[n + j] = before[j] end
    n = n + nb + 1
    levels[n] = writes[i] * unit
    for j = 1, na do levels[n + j] = after[j] end
    n = n + na
  end
  hilab_count = n
end

-- Append levels one by one (frames that differ in more than their write).
function h_l(list)
  local levels, n, unit = hilab_levels, hilab_count, hilab_unit
  for i = 1, table.getn(list) do levels[n + i] = list[i] * unit end
  hilab_count = n + table.getn(list)
end

-- Start load number `load`: the sweep runs on its own timers, this function returns at once. With a line the
-- readings are somebody else's: an edge goes out on it for each of them, and smub has nothing to do.
function h_run(readings, load, line)
  if hilab_line > 0 then digio.trigger[hilab_line].reset() end
  hilab_line = line
  if line > 0 then
    digio.trigger[line].mode = digio.TRIG_RISINGM
    digio.trigger[line].pulsewidth = 1e-5
    digio.trigger[line].stimulus = trigger.timer[4].EVENT_ID
  end
  smua.nvbuffer1.clear() smua.nvbuffer1.appendmode = 1 smua.nvbuffer1.collecttimestamps = 0
  smub.nvbuffer1.clear() smub.nvbuffer1.appendmode = 1 smub.nvbuffer1.collecttimestamps = 0
  trigger.timer[1].count = hilab_count > 1 and hilab_count - 1 or 1
  trigger.timer[4].count = readings > 1 and readings - 1 or 1
  smua.trigger.source.listi(hilab_levels)
  smua.trigger.source.action = smua.ENABLE
  smua.trigger.source.stimulus = trigger.timer[1].EVENT_ID
  smua.trigger.measure.v(smua.nvbuffer1)
  smua.trigger.measure.action = smua.ENABLE
  smua.trigger.measure.stimulus = trigger.timer[5].EVENT_ID
  smua.trigger.endpulse.action = smua.SOURCE_IDLE
  smua.trigger.endpulse.stimulus = trigger.timer[2].EVENT_ID
  smua.trigger.endsweep.action = smua.SOURCE_IDLE
  smua.trigger.arm.stimulus = 0
  smua.trigger.count = hilab_count
  if readings > 0 and line == 0 then
    smub.trigger.source.action = smub.DISABLE
    smub.trigger.measure.v(smub.nvbuffer1)
    smub.trigger.measure.action = smub.ENABLE
    smub.trigger.measure.stimulus = trigger.timer[4].EVENT_ID
    smub.trigger.endpulse.action = smub.SOURCE_HOLD
    smub.trigger.arm.stimulus = 0
    smub.trigger.count = readings
    smub.source.output = 1
    smub.trigger.initiate()
  end
  smua.source.output = 1
  smua.trigger.initiate()
  hilab_load = load
end

-- How far it is: load, pulses checked, readings taken, errors queued.
function h_state()
  print(hilab_load, smua.nvbuffer1.n, smub.nvbuffer1.n, errorqueue.count)
end

-- Outputs off, then the readings with their statuses, then the statuses of the pulses.
function h_get()
  smua.source.output = 0 smub.source.output = 0
  format.data = format.REAL32
  format.byteorder = format.LITTLEENDIAN
  if smub.nvbuffer1.n > 0 then
    printbuffer(1, smub.nvbuffer1.n, smub.nvbuffer1.readings, smub.nvbuffer1.statuses)
  end
  printbuffer(1, smua.nvbuffer1.n, smua.nvbuffer1.statuses)
  format.data = format.ASCII
end

-- Abort: levels to zero, outputs off, what was measured stays in the buffers.
function h_stop()
  smua.abort() smub.abort()
  smua.source.leveli = 0 smub.source.leveli = 0
  smua.source.output = 0 smub.source.output = 0
end
